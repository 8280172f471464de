// quantise_s8_direct: rule 2. A NaN sets the run's fault flag and is stored as zero.
#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {
namespace {

struct Quantise {
  View in, out;
  QuantiseParams p;
  std::int32_t* fault;
  const std::int32_t* rows;
  __device__ void operator()(int n, int y, int x, int c) const {
    if (rows != nullptr && x >= *rows) return;  // what lies there may look like a NaN
    const float value = *in.at<float>(n, y, x, c);
    const bool nan = value != value;
    if (nan) *fault = 1;  // every writer writes the same
    store8(out, n, y, x, c, p.dead || nan ? p.zero : arithmetic::quantise(value, p.inverse, p.lo, p.hi, p.zero));
  }
};

int launch(const StepArgs& args, const Launch& launch) {
  const auto& p = *static_cast<const QuantiseParams*>(args.params);
  return launch_elementwise(args.output, Quantise{args.inputs[0], args.output, p, args.fault, launch.rows}, launch);
}

}  // namespace

extern const Kernel quantise_s8_direct;
const Kernel quantise_s8_direct = {.op = "quantise_s8", .name = "direct", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
