// conv_transpose2d_f32_direct: any transposed convolution that planning cannot split (plan/planner_transpose.cpp); see
// convolve.cuh.
#include "kernels/cuda/convolve.cuh"

namespace octet::kernels::cuda {

extern const Kernel conv_transpose2d_f32_direct;
const Kernel conv_transpose2d_f32_direct = {
    .op = "conv_transpose2d_f32",
    .name = "direct",
    .refuse = refuse_fused,
    .launch = launch_convolve_transposed<Reals>,
    .packed_bytes = convolve_bytes<Reals, false>,
    .pack = pack_convolve<Reals, false>,
};

}  // namespace octet::kernels::cuda
