// avg_pool_s8_avx2: see avg_pool.h.
#include "kernels/cpu/avg_pool.h"
#include "kernels/cpu/lanes_avx2.h"

namespace octet::kernels {

extern const Kernel avg_pool_s8_avx2;
const Kernel avg_pool_s8_avx2 = {.op = "avg_pool_s8",
                                 .isa = "avx2",
                                 .refuse = accept,
                                 .tiles = avg_pool::tiles<avx2::Lanes>,
                                 .run = avg_pool::run_bytes<avx2::Lanes>};

}  // namespace octet::kernels
