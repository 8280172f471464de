// depthwise_s8_direct: any integer depthwise convolution; see convolve.cuh.
#include "kernels/cuda/convolve.cuh"

namespace octet::kernels::cuda {

extern const Kernel depthwise_s8_direct;
const Kernel depthwise_s8_direct = {
    .op = "depthwise_s8",
    .name = "direct",
    .refuse = refuse_fused,
    .launch = launch_convolve<Integers, false>,
    .packed_bytes = convolve_bytes<Integers, false>,
    .pack = pack_convolve<Integers, false>,
};

}  // namespace octet::kernels::cuda
