// conv2d_f32_neon: direct convolution on fused multiply-add, 4 channels a vector. Float layers are outside of the
// same-bytes promise: fusing is allowed here, and wanted.
#include "kernels/cpu/neon_f32.h"

namespace octet::kernels {

extern const Kernel conv2d_f32_neon;
const Kernel conv2d_f32_neon = {
    .op = "conv2d_f32",
    .isa = "neon",
    .refuse = direct::refuse,
    .tiles = direct::tiles<neon::RealTraits>,
    .run = direct::run<neon::RealTraits>,
    .packed_bytes = direct::packed_bytes<neon::RealTraits>,
    .pack = direct::pack<neon::RealTraits>,
    .reads_halo = true,
    .fuses_max_pool = true,
};

}  // namespace octet::kernels
