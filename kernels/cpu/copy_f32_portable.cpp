// copy_f32_portable: between layouts. Where both sides hold a pixel's channels side by side, pixels or whole rows are
// copied; between planes and pixels, a block of pixels at a time, so that neither side's cache lines are met twice.
#include <cstring>

#include "kernels/cpu/window.h"

namespace octet::kernels {
namespace {

constexpr std::int64_t kPixels = 16;  // floats of a cache line

// One channel of `count` pixels.
inline void channel(const float* __restrict from, std::int64_t step_in, float* __restrict to, std::int64_t step_out,
                    std::int64_t count) {
  for (std::int64_t x = 0; x < count; ++x) to[x * step_out] = from[x * step_in];
}

// Planes of three channels to pixels: a photo as the caller holds it.
void interleave_three(const float* __restrict from, std::int64_t plane, float* __restrict to, std::int64_t pixels) {
  for (std::int64_t x = 0; x < pixels; ++x) {
    to[3 * x] = from[x], to[3 * x + 1] = from[plane + x], to[3 * x + 2] = from[2 * plane + x];
  }
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const bool side_by_side = in.stride_c == 1 && out.stride_c == 1;
  const bool dense = side_by_side && in.stride_w == out.c && out.stride_w == out.c;
  const bool photo = out.c == 3 && in.stride_w == 1 && out.stride_c == 1 && out.stride_w == 3;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, y = row % out.h;
    const float* from = in.at<float>(n, y, 0);
    float* to = out.at<float>(n, y, 0);
    if (dense) {
      std::memcpy(to, from, static_cast<std::size_t>(std::int64_t{out.w} * out.c) * sizeof(float));
    } else if (photo) {
      interleave_three(from, in.stride_c, to, out.w);
    } else if (side_by_side) {
      for (std::int64_t x = 0; x < out.w; ++x) {
        std::memcpy(to + x * out.stride_w, from + x * in.stride_w, static_cast<std::size_t>(out.c) * sizeof(float));
      }
    } else {
      for (std::int64_t x = 0; x < out.w; x += kPixels) {
        const std::int64_t count = out.w - x < kPixels ? out.w - x : kPixels;
        for (std::int64_t c = 0; c < out.c; ++c) {
          channel(in.at<float>(n, y, x, c), in.stride_w, out.at<float>(n, y, x, c), out.stride_w, count);
        }
      }
    }
  }
}

}  // namespace

extern const Kernel copy_f32_portable;
const Kernel copy_f32_portable = {
    .op = "copy_f32", .isa = "portable", .refuse = accept, .tiles = window::rows, .run = run};

}  // namespace octet::kernels
