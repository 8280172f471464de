// avg_pool_s8_direct: rule 9; the multiplier of a window of n elements holds 1 / n.
#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {
namespace {

struct AvgPool {
  View in, out;
  PoolParams p;
  __device__ void operator()(int n, int oy, int ox, int c) const {
    std::int32_t sum = 0;
    for_window(in, p.window, oy, ox, [&](int y, int x) { sum += load8(in, n, y, x, c) - p.zero_in; });
    const float m = p.multiplier[window_count(in, p, oy, ox) - 1];
    store8(out, n, oy, ox, c, arithmetic::requantise(sum, m, p.lo, p.hi, p.zero_out));
  }
};

int launch(const StepArgs& args, const Launch& launch) {
  const auto& p = *static_cast<const PoolParams*>(args.params);
  return launch_elementwise(args.output, AvgPool{args.inputs[0], args.output, p}, launch);
}

}  // namespace

extern const Kernel avg_pool_s8_direct;
const Kernel avg_pool_s8_direct = {.op = "avg_pool_s8", .name = "direct", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
