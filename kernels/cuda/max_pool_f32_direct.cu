// max_pool_f32_direct: the largest element of each window, padding left out; a NaN wins and stays.
#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {
namespace {

struct MaxPool {
  View in, out;
  Window window;
  __device__ void operator()(int n, int oy, int ox, int c) const {
    float best = -__int_as_float(0x7f800000);
    for_window(in, window, oy, ox, [&](int y, int x) {
      const float value = *in.at<float>(n, y, x, c);
      if (value > best || value != value) best = value;
    });
    *out.at<float>(n, oy, ox, c) = best;
  }
};

int launch(const StepArgs& args, const Launch& launch) {
  const Window& window = static_cast<const PoolParams*>(args.params)->window;
  return launch_elementwise(args.output, MaxPool{args.inputs[0], args.output, window}, launch);
}

}  // namespace

extern const Kernel max_pool_f32_direct;
const Kernel max_pool_f32_direct = {.op = "max_pool_f32", .name = "direct", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
