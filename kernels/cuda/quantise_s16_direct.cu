// quantise_s16_direct: rule 2 for the wide input of a sparse network. A NaN sets the run's fault flag and is stored as
// zero.
#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {
namespace {

struct Quantise {
  View in, out;
  QuantiseParams p;
  std::int32_t* fault;
  const std::int32_t* rows;
  __device__ void operator()(int n, int y, int x, int c) const {
    if (rows != nullptr && x >= *rows) return;
    const float value = *in.at<float>(n, y, x, c);
    const bool nan = value != value;
    if (nan) *fault = 1;  // every writer writes the same
    *out.at<std::int16_t>(n, y, x, c) =
        static_cast<std::int16_t>(p.dead || nan ? p.zero : arithmetic::quantise(value, p.inverse, p.lo, p.hi, p.zero));
  }
};

int launch(const StepArgs& args, const Launch& launch) {
  const auto& p = *static_cast<const QuantiseParams*>(args.params);
  if (args.output.w == 0) return cudaSuccess;
  return launch_elementwise(args.output, Quantise{args.inputs[0], args.output, p, args.fault, launch.rows}, launch);
}

}  // namespace

extern const Kernel quantise_s16_direct;
const Kernel quantise_s16_direct = {.op = "quantise_s16", .name = "direct", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
