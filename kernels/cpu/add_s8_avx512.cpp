// add_s8_avx512: see add_s8.h.
#include "kernels/cpu/add_s8.h"
#include "kernels/cpu/lanes_avx512.h"

namespace octet::kernels {

extern const Kernel add_s8_avx512;
const Kernel add_s8_avx512 = {
    .op = "add_s8", .isa = "avx512", .refuse = accept, .tiles = window::rows, .run = add::run<avx512::Lanes>};

}  // namespace octet::kernels
