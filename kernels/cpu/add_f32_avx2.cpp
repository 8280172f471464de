// add_f32_avx2: see elementwise_f32.h.
#include "kernels/cpu/elementwise_f32.h"
#include "kernels/cpu/lanes_avx2.h"

namespace octet::kernels {

extern const Kernel add_f32_avx2;
const Kernel add_f32_avx2 = {
    .op = "add_f32", .isa = "avx2", .refuse = accept, .tiles = window::rows, .run = elementwise::add<avx2::Lanes>};

}  // namespace octet::kernels
