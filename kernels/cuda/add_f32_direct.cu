// add_f32_direct: a sum of up to eight activations, left to right, and the activation's clamp.
#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {
namespace {

struct Add {
  View in[AddParams::kMaxInputs], out;
  float lo, hi;
  int count;
  __device__ void operator()(int n, int y, int x, int c) const {
    float sum = *in[0].at<float>(n, y, x, c);
    for (int i = 1; i < count; ++i) sum = sum + *in[i].at<float>(n, y, x, c);
    *out.at<float>(n, y, x, c) = arithmetic::clamp_real(sum, lo, hi);
  }
};

int launch(const StepArgs& args, const Launch& launch) {
  const auto& p = *static_cast<const AddParams*>(args.params);
  Add add{.out = args.output, .lo = p.clamp_lo, .hi = p.clamp_hi, .count = args.input_count};
  for (int i = 0; i < args.input_count; ++i) add.in[i] = args.inputs[i];
  return launch_elementwise(args.output, add, launch);
}

}  // namespace

extern const Kernel add_f32_direct;
const Kernel add_f32_direct = {.op = "add_f32", .name = "direct", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
