// mul_f32_direct: the product of two activations; the second may be one value a channel ([C,1,1]).
#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {
namespace {

struct Multiply {
  View a, b, out;
  bool per_channel;
  __device__ void operator()(int n, int y, int x, int c) const {
    const float factor = per_channel ? *b.at<float>(n, 0, 0, c) : *b.at<float>(n, y, x, c);
    *out.at<float>(n, y, x, c) = *a.at<float>(n, y, x, c) * factor;
  }
};

int launch(const StepArgs& args, const Launch& launch) {
  const View &b = args.inputs[1], &out = args.output;
  return launch_elementwise(out, Multiply{args.inputs[0], b, out, b.h != out.h || b.w != out.w}, launch);
}

}  // namespace

extern const Kernel mul_f32_direct;
const Kernel mul_f32_direct = {.op = "mul_f32", .name = "direct", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
