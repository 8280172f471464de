// linear_s8_direct: an integer fully connected layer; see convolve.cuh.
#include "kernels/cuda/convolve.cuh"

namespace octet::kernels::cuda {

extern const Kernel linear_s8_direct;
const Kernel linear_s8_direct = {
    .op = "linear_s8",
    .name = "direct",
    .refuse = refuse_fused,
    .launch = launch_convolve<Integers, true>,
    .packed_bytes = convolve_bytes<Integers, true>,
    .pack = pack_convolve<Integers, true>,
};

}  // namespace octet::kernels::cuda
