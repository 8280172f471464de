// max_pool_f32_avx512: see max_pool.h.
#include "kernels/cpu/lanes_avx512.h"
#include "kernels/cpu/max_pool.h"

namespace octet::kernels {

extern const Kernel max_pool_f32_avx512;
const Kernel max_pool_f32_avx512 = {.op = "max_pool_f32",
                                    .isa = "avx512",
                                    .refuse = accept,
                                    .tiles = window::rows,
                                    .run = max_pool::run_as<avx512::Lanes, float>};

}  // namespace octet::kernels
