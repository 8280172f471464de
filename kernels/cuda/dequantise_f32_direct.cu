// dequantise_f32_direct: real = step * (q - zero), or the notebook's (q - zero) / scale.
#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {
namespace {

struct Dequantise {
  View in, out;
  QuantiseParams p;
  __device__ void operator()(int n, int y, int x, int c) const {
    const int q = load8(in, n, y, x, c);
    *out.at<float>(n, y, x, c) =
        p.divisor != 0 ? static_cast<float>(q - p.zero) / p.divisor : arithmetic::dequantise(q, p.step, p.zero);
  }
};

int launch(const StepArgs& args, const Launch& launch) {
  const auto& p = *static_cast<const QuantiseParams*>(args.params);
  return launch_elementwise(args.output, Dequantise{args.inputs[0], args.output, p}, launch);
}

}  // namespace

extern const Kernel dequantise_f32_direct;
const Kernel dequantise_f32_direct = {.op = "dequantise_f32", .name = "direct", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
