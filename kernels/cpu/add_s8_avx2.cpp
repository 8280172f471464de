// add_s8_avx2: see add_s8.h.
#include "kernels/cpu/add_s8.h"
#include "kernels/cpu/lanes_avx2.h"

namespace octet::kernels {

extern const Kernel add_s8_avx2;
const Kernel add_s8_avx2 = {
    .op = "add_s8", .isa = "avx2", .refuse = accept, .tiles = window::rows, .run = add::run<avx2::Lanes>};

}  // namespace octet::kernels
