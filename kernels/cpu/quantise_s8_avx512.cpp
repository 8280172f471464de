// quantise_s8_avx512: see quantise_s8.h.
#include "kernels/cpu/lanes_avx512.h"
#include "kernels/cpu/quantise_s8.h"

namespace octet::kernels {

extern const Kernel quantise_s8_avx512;
const Kernel quantise_s8_avx512 = {.op = "quantise_s8",
                                   .isa = "avx512",
                                   .refuse = quantise::refuse,
                                   .tiles = window::rows,
                                   .run = quantise::run<avx512::Lanes>};

}  // namespace octet::kernels
