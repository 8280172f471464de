// dequantise_f32_reference: real = step * (q - zero).
#include "kernels/reference/access.h"
#include "runtime/arithmetic.h"

namespace octet::kernels {
namespace {

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& out = args.output;
  const auto& p = *static_cast<const QuantiseParams*>(args.params);
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, y = row % out.h;
    for (std::int64_t x = 0; x < out.w; ++x) {
      for (std::int64_t c = 0; c < out.c; ++c) {
        const std::int32_t q = reference::load8(args.inputs[0], n, y, x, c);
        *out.at<float>(n, y, x, c) =
            p.divisor != 0 ? static_cast<float>(q - p.zero) / p.divisor : arithmetic::dequantise(q, p.step, p.zero);
      }
    }
  }
}

}  // namespace

extern const Kernel dequantise_f32_reference;
const Kernel dequantise_f32_reference = {
    .op = "dequantise_f32", .isa = "reference", .refuse = accept, .tiles = reference::rows, .run = run};

}  // namespace octet::kernels
