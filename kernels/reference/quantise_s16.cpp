// quantise_s16_reference: rule 2 for a wide edge (QuantParams::kWide). A NaN sets the run's fault flag.
#include "kernels/reference/access.h"
#include "runtime/arithmetic.h"

namespace octet::kernels {
namespace {

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto& p = *static_cast<const QuantiseParams*>(args.params);
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, y = row % out.h;
    for (std::int64_t x = 0; x < out.w; ++x) {
      for (std::int64_t c = 0; c < out.c; ++c) {
        const float value = *in.at<float>(n, y, x, c);
        const bool nan = value != value;
        if (nan) __atomic_store_n(args.fault, 1, __ATOMIC_RELAXED);
        const std::int32_t q = p.dead || nan ? p.zero : arithmetic::quantise(value, p.inverse, p.lo, p.hi, p.zero);
        *out.at<std::int16_t>(n, y, x, c) = static_cast<std::int16_t>(q);
      }
    }
  }
}

}  // namespace

extern const Kernel quantise_s16_reference;
const Kernel quantise_s16_reference = {
    .op = "quantise_s16", .isa = "reference", .refuse = accept, .tiles = reference::rows, .run = run};

}  // namespace octet::kernels
