// conv2d_f32_direct: any float convolution; see convolve.cuh.
#include "kernels/cuda/convolve.cuh"

namespace octet::kernels::cuda {

extern const Kernel conv2d_f32_direct;
const Kernel conv2d_f32_direct = {
    .op = "conv2d_f32",
    .name = "direct",
    .refuse = refuse_fused,
    .launch = launch_convolve<Reals, false>,
    .packed_bytes = convolve_bytes<Reals, false>,
    .pack = pack_convolve<Reals, false>,
};

}  // namespace octet::kernels::cuda
