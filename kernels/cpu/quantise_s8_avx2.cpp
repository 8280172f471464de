// quantise_s8_avx2: see quantise_s8.h.
#include "kernels/cpu/lanes_avx2.h"
#include "kernels/cpu/quantise_s8.h"

namespace octet::kernels {

extern const Kernel quantise_s8_avx2;
const Kernel quantise_s8_avx2 = {.op = "quantise_s8",
                                 .isa = "avx2",
                                 .refuse = quantise::refuse,
                                 .tiles = window::rows,
                                 .run = quantise::run<avx2::Lanes>};

}  // namespace octet::kernels
