// linear_f32_direct: a float fully connected layer; see convolve.cuh.
#include "kernels/cuda/convolve.cuh"

namespace octet::kernels::cuda {

extern const Kernel linear_f32_direct;
const Kernel linear_f32_direct = {
    .op = "linear_f32",
    .name = "direct",
    .refuse = refuse_fused,
    .launch = launch_convolve<Reals, true>,
    .packed_bytes = convolve_bytes<Reals, true>,
    .pack = pack_convolve<Reals, true>,
};

}  // namespace octet::kernels::cuda
