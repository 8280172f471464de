// to_dense_f32_direct: sites to a dense map of floats; see to_dense.cuh.
#include "kernels/cuda/to_dense.cuh"

namespace octet::kernels::cuda {

extern const Kernel to_dense_f32_direct;
const Kernel to_dense_f32_direct = {
    .op = "to_dense_f32", .name = "direct", .refuse = refuse_scatter, .launch = launch_scatter<float>};

}  // namespace octet::kernels::cuda
