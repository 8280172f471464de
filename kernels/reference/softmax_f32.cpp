// softmax_f32_reference: exp(x - max) / sum over the channels of each pixel, summed in double. Of a flattened
// activation (SoftmaxParams::whole_image) over everything an image holds, in whatever order it lies there.
#include <cmath>
#include <limits>

#include "kernels/reference/access.h"

namespace octet::kernels {
namespace {

void normalise(const View& in, const View& out, std::int64_t n, std::int64_t first_y, std::int64_t last_y,
               std::int64_t first_x, std::int64_t last_x) {
  const auto each = [&](auto visit) {
    for (std::int64_t y = first_y; y < last_y; ++y) {
      for (std::int64_t x = first_x; x < last_x; ++x) {
        for (std::int64_t c = 0; c < out.c; ++c) visit(*in.at<float>(n, y, x, c), *out.at<float>(n, y, x, c));
      }
    }
  };
  double top = -std::numeric_limits<double>::infinity(), sum = 0;
  each([&](float value, float&) { top = value > top ? value : top; });
  each([&](float value, float&) { sum += std::exp(value - top); });
  each([&](float value, float& result) { result = static_cast<float>(std::exp(value - top) / sum); });
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const bool whole = static_cast<const SoftmaxParams*>(args.params)->whole_image;
  for (std::int64_t n = first; n < last; ++n) {
    if (whole) {
      normalise(in, out, n, 0, out.h, 0, out.w);
      continue;
    }
    for (std::int64_t y = 0; y < out.h; ++y) {
      for (std::int64_t x = 0; x < out.w; ++x) normalise(in, out, n, y, y + 1, x, x + 1);
    }
  }
}

}  // namespace

extern const Kernel softmax_f32_reference;
const Kernel softmax_f32_reference = {
    .op = "softmax_f32", .isa = "reference", .refuse = accept, .tiles = reference::images, .run = run};

}  // namespace octet::kernels
