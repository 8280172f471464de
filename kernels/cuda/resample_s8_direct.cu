// resample_s8_direct: bytes are moved, none is computed; what lies outside of the input is the zero point.
#include "kernels/cuda/resample.cuh"

namespace octet::kernels::cuda {

extern const Kernel resample_s8_direct;
const Kernel resample_s8_direct = {
    .op = "resample_s8", .name = "direct", .refuse = accept, .launch = launch_resample<std::uint8_t>};

}  // namespace octet::kernels::cuda
