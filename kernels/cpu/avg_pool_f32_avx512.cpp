// avg_pool_f32_avx512: see avg_pool.h.
#include "kernels/cpu/avg_pool.h"
#include "kernels/cpu/lanes_avx512.h"

namespace octet::kernels {

extern const Kernel avg_pool_f32_avx512;
const Kernel avg_pool_f32_avx512 = {.op = "avg_pool_f32",
                                    .isa = "avx512",
                                    .refuse = accept,
                                    .tiles = avg_pool::tiles<avx512::Lanes>,
                                    .run = avg_pool::run_floats<avx512::Lanes>};

}  // namespace octet::kernels
