// avg_pool_f32_reference: the mean of each window, summed in double.
#include "kernels/reference/access.h"
#include "kernels/reference/sliding.h"

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
        double sum = 0;
        std::int32_t count = 0;
        reference::for_window(in, p.window, oy, ox, [&](std::int64_t y, std::int64_t x) {
          sum += *in.at<float>(n, y, x, c);
          ++count;
        });
        if (p.count_include_pad) count = reference::count_with_padding(in, p.window, oy, ox);
        *out.at<float>(n, oy, ox, c) = static_cast<float>(sum / count);
      }
    }
  }
}

}  // namespace

extern const Kernel avg_pool_f32_reference;
const Kernel avg_pool_f32_reference = {
    .op = "avg_pool_f32", .isa = "reference", .refuse = accept, .tiles = reference::rows, .run = run};

}  // namespace octet::kernels
