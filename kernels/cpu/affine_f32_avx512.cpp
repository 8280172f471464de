// affine_f32_avx512: see elementwise_f32.h.
#include "kernels/cpu/elementwise_f32.h"
#include "kernels/cpu/lanes_avx512.h"

namespace octet::kernels {

extern const Kernel affine_f32_avx512;
const Kernel affine_f32_avx512 = {.op = "affine_f32",
                                  .isa = "avx512",
                                  .refuse = accept,
                                  .tiles = window::rows,
                                  .run = elementwise::affine<avx512::Lanes>};

}  // namespace octet::kernels
