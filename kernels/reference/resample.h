// Moving pixels: output pixel (y, x) is input pixel ((y - top) / factor, (x - left) / factor), or the fill where
// there is none. One tile is one output row. The parameters are PoolParams: the window's strides are the factors, its
// pads the border, zero_in the byte that it holds (floats: 0).
#pragma once

#include <cstring>

#include "kernels/reference/access.h"

namespace octet::kernels::reference {

template <class T>
[[maybe_unused]] static inline void resample(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto& p = *static_cast<const PoolParams*>(args.params);
  const Window& w = p.window;
  const bool together = in.stride_c == 1 && out.stride_c == 1;  // a pixel's channels are one run
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, y = row % out.h;
    const std::int64_t from_y = (y - w.pad_top) / w.stride_h;
    for (std::int64_t x = 0; x < out.w; ++x) {
      const std::int64_t from_x = (x - w.pad_left) / w.stride_w;
      const bool inside = y >= w.pad_top && x >= w.pad_left && from_y < in.h && from_x < in.w;
      if (inside && together) {
        std::memcpy(out.at<T>(n, y, x), in.at<T>(n, from_y, from_x), static_cast<std::size_t>(out.c) * sizeof(T));
        continue;
      }
      for (std::int64_t c = 0; c < out.c; ++c) {
        *out.at<T>(n, y, x, c) = inside ? *in.at<T>(n, from_y, from_x, c) : static_cast<T>(p.zero_in);
      }
    }
  }
}

}  // namespace octet::kernels::reference
