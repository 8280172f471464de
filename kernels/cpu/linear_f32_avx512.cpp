// linear_f32_avx512: see linear_f32.h.
#include "kernels/cpu/lanes_avx512.h"
#include "kernels/cpu/linear_f32.h"

namespace octet::kernels {

using avx512::Lanes;

extern const Kernel linear_f32_avx512;
const Kernel linear_f32_avx512 = {
    .op = "linear_f32",
    .isa = "avx512",
    .refuse = accept,
    .tiles = linear_f32::tiles<Lanes>,
    .run = linear_f32::run<Lanes>,
    .packed_bytes = linear_f32::packed_bytes<Lanes>,
    .pack = linear_f32::pack<Lanes>,
    .scratch_bytes = linear_f32::scratch_bytes<Lanes>,
};

}  // namespace octet::kernels
