// conv_transpose2d_s8_direct: any transposed convolution that planning cannot split (plan/planner_transpose.cpp); see
// convolve.cuh.
#include "kernels/cuda/convolve.cuh"

namespace octet::kernels::cuda {

extern const Kernel conv_transpose2d_s8_direct;
const Kernel conv_transpose2d_s8_direct = {
    .op = "conv_transpose2d_s8",
    .name = "direct",
    .refuse = refuse_fused,
    .launch = launch_convolve_transposed<Integers>,
    .packed_bytes = convolve_bytes<Integers, false>,
    .pack = pack_convolve<Integers, false>,
};

}  // namespace octet::kernels::cuda
