// avg_pool_f32_direct: the mean of each window.
#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {
namespace {

struct AvgPool {
  View in, out;
  PoolParams p;
  __device__ void operator()(int n, int oy, int ox, int c) const {
    float sum = 0;
    for_window(in, p.window, oy, ox, [&](int y, int x) { sum += *in.at<float>(n, y, x, c); });
    *out.at<float>(n, oy, ox, c) = sum / static_cast<float>(window_count(in, p, oy, ox));
  }
};

int launch(const StepArgs& args, const Launch& launch) {
  const auto& p = *static_cast<const PoolParams*>(args.params);
  return launch_elementwise(args.output, AvgPool{args.inputs[0], args.output, p}, launch);
}

}  // namespace

extern const Kernel avg_pool_f32_direct;
const Kernel avg_pool_f32_direct = {.op = "avg_pool_f32", .name = "direct", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
