// lookup_f32_direct: a photo's bytes through a table of 256 floats a channel, made at planning.
#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {
namespace {

struct Lookup {
  View in, out;
  const float* table;
  __device__ void operator()(int n, int y, int x, int c) const {
    *out.at<float>(n, y, x, c) = table[c * 256 + *in.at<std::uint8_t>(n, y, x, c)];
  }
};

int launch(const StepArgs& args, const Launch& launch) {
  const auto* table = static_cast<const float*>(static_cast<const LookupParams*>(args.params)->table);
  return launch_elementwise(args.output, Lookup{args.inputs[0], args.output, table}, launch);
}

}  // namespace

extern const Kernel lookup_f32_direct;
const Kernel lookup_f32_direct = {.op = "lookup_f32", .name = "direct", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
