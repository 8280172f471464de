// lookup_f32_portable: the bytes of a photo through one table a channel, with the usual three channels written out.
#include "kernels/cpu/window.h"

namespace octet::kernels {
namespace {

void row_of_three(const float* __restrict tables, const std::uint8_t* __restrict from, std::int64_t step_in,
                  float* __restrict to, std::int64_t step_out, std::int64_t pixels) {
  for (std::int64_t x = 0; x < pixels; ++x, from += step_in, to += step_out) {
    const float red = tables[from[0]], green = tables[256 + from[1]], blue = tables[512 + from[2]];
    to[0] = red, to[1] = green, to[2] = blue;
  }
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto* tables = static_cast<const float*>(static_cast<const LookupParams*>(args.params)->table);
  const bool three = out.c == 3 && in.stride_c == 1 && out.stride_c == 1;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, y = row % out.h;
    if (three) {
      row_of_three(tables, in.at<std::uint8_t>(n, y, 0), in.stride_w, out.at<float>(n, y, 0), out.stride_w, out.w);
      continue;
    }
    for (std::int64_t x = 0; x < out.w; ++x) {
      for (std::int64_t c = 0; c < out.c; ++c) {
        *out.at<float>(n, y, x, c) = tables[256 * c + *in.at<std::uint8_t>(n, y, x, c)];
      }
    }
  }
}

}  // namespace

extern const Kernel lookup_f32_portable;
const Kernel lookup_f32_portable = {
    .op = "lookup_f32", .isa = "portable", .refuse = accept, .tiles = window::rows, .run = run};

}  // namespace octet::kernels
