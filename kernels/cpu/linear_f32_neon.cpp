// linear_f32_neon: a fully connected layer on fused multiply-add.
#include "kernels/cpu/linear_direct.h"
#include "kernels/cpu/neon_f32.h"

namespace octet::kernels {

extern const Kernel linear_f32_neon;
const Kernel linear_f32_neon = {
    .op = "linear_f32",
    .isa = "neon",
    .refuse = accept,
    .tiles = direct::linear_tiles<neon::RealTraits>,
    .run = direct::linear_run<neon::RealTraits>,
    .packed_bytes = direct::linear_packed_bytes<neon::RealTraits>,
    .pack = direct::linear_pack<neon::RealTraits>,
    .scratch_bytes = direct::linear_scratch_bytes<neon::RealTraits>,
};

}  // namespace octet::kernels
