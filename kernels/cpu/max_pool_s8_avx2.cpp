// max_pool_s8_avx2: see max_pool.h.
#include "kernels/cpu/lanes_avx2.h"
#include "kernels/cpu/max_pool.h"

namespace octet::kernels {

extern const Kernel max_pool_s8_avx2;
const Kernel max_pool_s8_avx2 = {.op = "max_pool_s8",
                                 .isa = "avx2",
                                 .refuse = accept,
                                 .tiles = window::rows,
                                 .run = max_pool::run_bytes<avx2::Lanes>};

}  // namespace octet::kernels
