// affine_f32_avx2: see elementwise_f32.h.
#include "kernels/cpu/elementwise_f32.h"
#include "kernels/cpu/lanes_avx2.h"

namespace octet::kernels {

extern const Kernel affine_f32_avx2;
const Kernel affine_f32_avx2 = {.op = "affine_f32",
                                .isa = "avx2",
                                .refuse = accept,
                                .tiles = window::rows,
                                .run = elementwise::affine<avx2::Lanes>};

}  // namespace octet::kernels
