// max_pool_f32_reference: the largest element of each window; padding is left out.
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
        float best = -__builtin_inff();
        reference::for_window(in, window, oy, ox, [&](std::int64_t y, std::int64_t x) {
          const float value = *in.at<float>(n, y, x, c);
          if (value > best || value != value) best = value;  // a NaN wins and stays, as in PyTorch
        });
        *out.at<float>(n, oy, ox, c) = best;
      }
    }
  }
}

}  // namespace

extern const Kernel max_pool_f32_reference;
const Kernel max_pool_f32_reference = {
    .op = "max_pool_f32", .isa = "reference", .refuse = accept, .tiles = reference::rows, .run = run};

}  // namespace octet::kernels
