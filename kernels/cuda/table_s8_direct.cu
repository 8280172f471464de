// table_s8_direct: a function of one 8-bit value (rule 12): one table of 256 bytes for every channel.
#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {
namespace {

struct Table {
  View in, out;
  const std::uint8_t* table;
  __device__ void operator()(int n, int y, int x, int c) const {
    *out.at<std::uint8_t>(n, y, x, c) = __ldg(table + *in.at<std::uint8_t>(n, y, x, c));
  }
};

int launch(const StepArgs& args, const Launch& launch) {
  const std::uint8_t* table = static_cast<const FunctionParams*>(args.params)->table;
  return launch_elementwise(args.output, Table{args.inputs[0], args.output, table}, launch);
}

}  // namespace

extern const Kernel table_s8_direct;
const Kernel table_s8_direct = {.op = "table_s8", .name = "direct", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
