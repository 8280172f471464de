// dequantise_f32_avx512: see dequantise_f32.h.
#include "kernels/cpu/dequantise_f32.h"
#include "kernels/cpu/lanes_avx512.h"

namespace octet::kernels {

extern const Kernel dequantise_f32_avx512;
const Kernel dequantise_f32_avx512 = {.op = "dequantise_f32",
                                      .isa = "avx512",
                                      .refuse = accept,
                                      .tiles = window::rows,
                                      .run = dequantise::run<avx512::Lanes>};

}  // namespace octet::kernels
