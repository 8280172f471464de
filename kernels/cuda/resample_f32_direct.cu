// resample_f32_direct: resample_s8 of floats; what lies outside of the input is 0.
#include "kernels/cuda/resample.cuh"

namespace octet::kernels::cuda {

extern const Kernel resample_f32_direct;
const Kernel resample_f32_direct = {
    .op = "resample_f32", .name = "direct", .refuse = accept, .launch = launch_resample<float>};

}  // namespace octet::kernels::cuda
