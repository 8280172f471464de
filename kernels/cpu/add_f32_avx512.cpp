// add_f32_avx512: see elementwise_f32.h.
#include "kernels/cpu/elementwise_f32.h"
#include "kernels/cpu/lanes_avx512.h"

namespace octet::kernels {

extern const Kernel add_f32_avx512;
const Kernel add_f32_avx512 = {
    .op = "add_f32", .isa = "avx512", .refuse = accept, .tiles = window::rows, .run = elementwise::add<avx512::Lanes>};

}  // namespace octet::kernels
