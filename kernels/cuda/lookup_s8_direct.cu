// lookup_s8_direct: a photo's bytes through a table of 256 bytes a channel, made at planning.
#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {
namespace {

struct Lookup {
  View in, out;
  const std::uint8_t* table;
  __device__ void operator()(int n, int y, int x, int c) const {
    *out.at<std::uint8_t>(n, y, x, c) = table[c * 256 + *in.at<std::uint8_t>(n, y, x, c)];
  }
};

int launch(const StepArgs& args, const Launch& launch) {
  const auto* table = static_cast<const std::uint8_t*>(static_cast<const LookupParams*>(args.params)->table);
  return launch_elementwise(args.output, Lookup{args.inputs[0], args.output, table}, launch);
}

}  // namespace

extern const Kernel lookup_s8_direct;
const Kernel lookup_s8_direct = {.op = "lookup_s8", .name = "direct", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
