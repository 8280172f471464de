// avg_pool_s8_reference: rule 9. The sum of (q - zero) over a window, times a multiplier that already holds 1 / count.
#include "kernels/reference/access.h"
#include "kernels/reference/sliding.h"
#include "runtime/arithmetic.h"

namespace octet::kernels {
namespace {

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto& p = *static_cast<const PoolParams*>(args.params);
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, oy = row % out.h;
    for (std::int64_t ox = 0; ox < out.w; ++ox) {
      for (std::int64_t c = 0; c < out.c; ++c) {
        std::int64_t sum = 0;
        std::int32_t count = 0;
        reference::for_window(in, p.window, oy, ox, [&](std::int64_t y, std::int64_t x) {
          sum += reference::load8(in, n, y, x, c) - p.zero_in;
          ++count;
        });
        if (p.count_include_pad) count = reference::count_with_padding(in, p.window, oy, ox);
        const float m = p.multiplier[count - 1];
        reference::store8(out, n, oy, ox, c,
                          arithmetic::requantise(static_cast<std::int32_t>(sum), m, p.lo, p.hi, p.zero_out));
      }
    }
  }
}

}  // namespace

extern const Kernel avg_pool_s8_reference;
const Kernel avg_pool_s8_reference = {
    .op = "avg_pool_s8", .isa = "reference", .refuse = accept, .tiles = reference::rows, .run = run};

}  // namespace octet::kernels
