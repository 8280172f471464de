// max_pool_s8_avx512: see max_pool.h.
#include "kernels/cpu/lanes_avx512.h"
#include "kernels/cpu/max_pool.h"

namespace octet::kernels {

extern const Kernel max_pool_s8_avx512;
const Kernel max_pool_s8_avx512 = {.op = "max_pool_s8",
                                   .isa = "avx512",
                                   .refuse = accept,
                                   .tiles = window::rows,
                                   .run = max_pool::run_bytes<avx512::Lanes>};

}  // namespace octet::kernels
