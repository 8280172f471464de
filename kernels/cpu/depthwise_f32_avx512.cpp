// depthwise_f32_avx512: see depthwise_f32.h.
#include "kernels/cpu/depthwise_f32.h"
#include "kernels/cpu/lanes_avx512.h"

namespace octet::kernels {

using avx512::Lanes;

extern const Kernel depthwise_f32_avx512;
const Kernel depthwise_f32_avx512 = {
    .op = "depthwise_f32",
    .isa = "avx512",
    .refuse = accept,
    .tiles = window::rows,
    .run = depthwise_f32::run<Lanes>,
    .packed_bytes = depthwise_f32::packed_bytes<Lanes>,
    .pack = depthwise_f32::pack<Lanes>,
    .reads_halo = true,
};

}  // namespace octet::kernels
