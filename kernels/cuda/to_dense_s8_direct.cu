// to_dense_s8_direct: sites to a dense map of 8-bit integers; see to_dense.cuh.
#include "kernels/cuda/to_dense.cuh"

namespace octet::kernels::cuda {

extern const Kernel to_dense_s8_direct;
const Kernel to_dense_s8_direct = {
    .op = "to_dense_s8", .name = "direct", .refuse = refuse_scatter, .launch = launch_scatter<std::uint8_t>};

}  // namespace octet::kernels::cuda
