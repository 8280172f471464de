// affine_f32_direct: x * scale[c] + shift[c], then the activation's clamp. A batch-norm by itself, or a lone ReLU.
#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {
namespace {

struct Affine {
  View in, out;
  AffineParams p;
  __device__ void operator()(int n, int y, int x, int c) const {
    const float x0 = *in.at<float>(n, y, x, c);
    const float value = p.scale == nullptr ? x0 : x0 * p.scale[c] + p.shift[c];
    *out.at<float>(n, y, x, c) = arithmetic::clamp_real(value, p.lo, p.hi);
  }
};

int launch(const StepArgs& args, const Launch& launch) {
  const auto& p = *static_cast<const AffineParams*>(args.params);
  return launch_elementwise(args.output, Affine{args.inputs[0], args.output, p}, launch);
}

}  // namespace

extern const Kernel affine_f32_direct;
const Kernel affine_f32_direct = {.op = "affine_f32", .name = "direct", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
