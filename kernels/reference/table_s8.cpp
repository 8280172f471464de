// table_s8_reference: a function of one 8-bit value (rule 12): one table of 256 bytes for every channel.
#include "kernels/reference/access.h"

namespace octet::kernels {
namespace {

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const std::uint8_t* table = static_cast<const FunctionParams*>(args.params)->table;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, y = row % out.h;
    for (std::int64_t x = 0; x < out.w; ++x) {
      for (std::int64_t c = 0; c < out.c; ++c) {
        *out.at<std::uint8_t>(n, y, x, c) = table[*in.at<std::uint8_t>(n, y, x, c)];
      }
    }
  }
}

}  // namespace

extern const Kernel table_s8_reference;
const Kernel table_s8_reference = {
    .op = "table_s8", .isa = "reference", .refuse = accept, .tiles = reference::rows, .run = run};

}  // namespace octet::kernels
