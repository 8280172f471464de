// conv2d_f32_avx2: see conv2d_f32.h.
#include "kernels/cpu/conv2d_f32.h"

#include "kernels/cpu/lanes_avx2.h"

namespace octet::kernels {

using avx2::Lanes;

extern const Kernel conv2d_f32_avx2;
const Kernel conv2d_f32_avx2 = {
    .op = "conv2d_f32",
    .isa = "avx2",
    .refuse = conv_f32::refuse,
    .tiles = conv_f32::tiles<Lanes>,
    .run = conv_f32::run<Lanes>,
    .packed_bytes = conv_f32::packed_bytes<Lanes>,
    .pack = conv_f32::pack<Lanes>,
    .reads_halo = true,
    .fuses_max_pool = true,
    .tile = conv_f32::tile<Lanes>,
};

}  // namespace octet::kernels
