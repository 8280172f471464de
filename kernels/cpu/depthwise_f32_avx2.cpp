// depthwise_f32_avx2: see depthwise_f32.h.
#include "kernels/cpu/depthwise_f32.h"
#include "kernels/cpu/lanes_avx2.h"

namespace octet::kernels {

using avx2::Lanes;

extern const Kernel depthwise_f32_avx2;
const Kernel depthwise_f32_avx2 = {
    .op = "depthwise_f32",
    .isa = "avx2",
    .refuse = accept,
    .tiles = window::rows,
    .run = depthwise_f32::run<Lanes>,
    .packed_bytes = depthwise_f32::packed_bytes<Lanes>,
    .pack = depthwise_f32::pack<Lanes>,
    .reads_halo = true,
};

}  // namespace octet::kernels
