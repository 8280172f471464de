// max_pool_s8_reference: the largest byte of each window. Input and output share step and zero point (a positive step
// keeps the order), so no arithmetic happens; padding is left out.
#include "kernels/reference/access.h"
#include "kernels/reference/sliding.h"

namespace octet::kernels {
namespace {

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const Window& window = static_cast<const PoolParams*>(args.params)->window;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, oy = row % out.h;
    for (std::int64_t ox = 0; ox < out.w; ++ox) {
      for (std::int64_t c = 0; c < out.c; ++c) {
        std::int32_t best = -128;
        reference::for_window(in, window, oy, ox, [&](std::int64_t y, std::int64_t x) {
          const std::int32_t q = reference::load8(in, n, y, x, c);
          if (q > best) best = q;
        });
        reference::store8(out, n, oy, ox, c, best);
      }
    }
  }
}

}  // namespace

extern const Kernel max_pool_s8_reference;
const Kernel max_pool_s8_reference = {
    .op = "max_pool_s8", .isa = "reference", .refuse = accept, .tiles = reference::rows, .run = run};

}  // namespace octet::kernels
