// max_pool_s8_direct: the largest byte of each window, padding left out.
#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {
namespace {

struct MaxPool {
  View in, out;
  Window window;
  __device__ void operator()(int n, int oy, int ox, int c) const {
    int best = -128;
    for_window(in, window, oy, ox, [&](int y, int x) { best = max(best, load8(in, n, y, x, c)); });
    store8(out, n, oy, ox, c, best);
  }
};

int launch(const StepArgs& args, const Launch& launch) {
  const Window& window = static_cast<const PoolParams*>(args.params)->window;
  return launch_elementwise(args.output, MaxPool{args.inputs[0], args.output, window}, launch);
}

}  // namespace

extern const Kernel max_pool_s8_direct;
const Kernel max_pool_s8_direct = {.op = "max_pool_s8", .name = "direct", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
