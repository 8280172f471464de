// function_f32_direct: a function of one value, computed in double and rounded once.
#include "kernels/cuda/element.cuh"
#include "runtime/function_of_one.h"

namespace octet::kernels::cuda {
namespace {

struct Apply {
  View in, out;
  FunctionParams p;
  __device__ void operator()(int n, int y, int x, int c) const {
    *out.at<float>(n, y, x, c) = static_cast<float>(apply(p.function, p.alpha, p.beta, *in.at<float>(n, y, x, c)));
  }
};

int launch(const StepArgs& args, const Launch& launch) {
  const auto& p = *static_cast<const FunctionParams*>(args.params);
  return launch_elementwise(args.output, Apply{args.inputs[0], args.output, p}, launch);
}

}  // namespace

extern const Kernel function_f32_direct;
const Kernel function_f32_direct = {.op = "function_f32", .name = "direct", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
