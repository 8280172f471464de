// mul_f32_reference: the product of two activations; the second may be one value a channel ([C,1,1]).
#include "kernels/reference/access.h"

namespace octet::kernels {
namespace {

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& a = args.inputs[0];
  const View& b = args.inputs[1];
  const View& out = args.output;
  const bool per_channel = b.h != out.h || b.w != out.w;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, y = row % out.h;
    for (std::int64_t x = 0; x < out.w; ++x) {
      for (std::int64_t c = 0; c < out.c; ++c) {
        const float factor = per_channel ? *b.at<float>(n, 0, 0, c) : *b.at<float>(n, y, x, c);
        *out.at<float>(n, y, x, c) = *a.at<float>(n, y, x, c) * factor;
      }
    }
  }
}

}  // namespace

extern const Kernel mul_f32_reference;
const Kernel mul_f32_reference = {
    .op = "mul_f32", .isa = "reference", .refuse = accept, .tiles = reference::rows, .run = run};

}  // namespace octet::kernels
