// dequantise_f32_avx2: see dequantise_f32.h.
#include "kernels/cpu/dequantise_f32.h"
#include "kernels/cpu/lanes_avx2.h"

namespace octet::kernels {

extern const Kernel dequantise_f32_avx2;
const Kernel dequantise_f32_avx2 = {.op = "dequantise_f32",
                                    .isa = "avx2",
                                    .refuse = accept,
                                    .tiles = window::rows,
                                    .run = dequantise::run<avx2::Lanes>};

}  // namespace octet::kernels
