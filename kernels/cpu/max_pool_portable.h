// The maximum of each window, all channels of a pixel side by side: shared by max_pool_s8 and max_pool_f32.
#pragma once

#include "kernels/cpu/portable.h"

namespace octet::kernels::portable {

template <class T>
static void raise(T* __restrict best, const T* __restrict x, std::int64_t count) {
  for (std::int64_t c = 0; c < count; ++c) best[c] = x[c] > best[c] || x[c] != x[c] ? x[c] : best[c];  // NaN stays
}

template <class T>
static void max_pool(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const Window& w = static_cast<const PoolParams*>(args.params)->window;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, oy = row % out.h;
    const std::int64_t y = oy * w.stride_h - w.pad_top;
    const Taps ys = inside(y, w.kernel_h, w.dilation_h, in.h);
    for (std::int64_t ox = 0; ox < out.w; ++ox) {
      const std::int64_t x = ox * w.stride_w - w.pad_left;
      const Taps xs = inside(x, w.kernel_w, w.dilation_w, in.w);
      T* best = out.at<T>(n, oy, ox);
      std::memcpy(best, in.at<T>(n, y + ys.first * w.dilation_h, x + xs.first * w.dilation_w),
                  static_cast<std::size_t>(out.c) * sizeof(T));
      for (std::int64_t ky = ys.first; ky < ys.last; ++ky) {
        for (std::int64_t kx = xs.first; kx < xs.last; ++kx) {
          raise(best, in.at<T>(n, y + ky * w.dilation_h, x + kx * w.dilation_w), out.c);
        }
      }
    }
  }
}

}  // namespace octet::kernels::portable
