// add_s8_reference: rule 11, and rule 10 when there is one input (a copy to another step and zero point).
#include "kernels/reference/access.h"
#include "runtime/arithmetic.h"

namespace octet::kernels {
namespace {

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& out = args.output;
  const auto& p = *static_cast<const AddParams*>(args.params);
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, y = row % out.h;
    for (std::int64_t x = 0; x < out.w; ++x) {
      for (std::int64_t c = 0; c < out.c; ++c) {
        const auto term = [&](std::int32_t i) {
          return static_cast<float>(reference::load8(args.inputs[i], n, y, x, c) - p.zero_in[i]) * p.multiplier[i];
        };
        float sum = term(0);
        for (std::int32_t i = 1; i < args.input_count; ++i) sum = sum + term(i);  // one rounding after each +
        const float clamped =
            arithmetic::clamp(sum, static_cast<float>(p.lo - p.zero_out), static_cast<float>(p.hi - p.zero_out));
        reference::store8(out, n, y, x, c, arithmetic::round_even(clamped) + p.zero_out);
      }
    }
  }
}

}  // namespace

extern const Kernel add_s8_reference;
const Kernel add_s8_reference = {
    .op = "add_s8", .isa = "reference", .refuse = accept, .tiles = reference::rows, .run = run};

}  // namespace octet::kernels
