// The part of a pooling window that lies inside the input.
#pragma once

#include "kernels/kernel.h"

namespace octet::kernels::reference {

// Calls visit(y, x) for every element of the window of output (oy, ox) that is not padding.
template <class Visit>
static void for_window(const View& in, const Window& w, std::int64_t oy, std::int64_t ox, Visit visit) {
  for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
    const std::int64_t y = oy * w.stride_h - w.pad_top + ky * w.dilation_h;
    if (y < 0 || y >= in.h) continue;
    for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
      const std::int64_t x = ox * w.stride_w - w.pad_left + kx * w.dilation_w;
      if (x >= 0 && x < in.w) visit(y, x);
    }
  }
}

// How many elements an average counts when padding is included: a window that ceil_mode lets hang over the padded edge
// is cut there, as in PyTorch. Dilation is 1 for average pools.
[[maybe_unused]] static std::int32_t count_with_padding(const View& in, const Window& w, std::int64_t oy,
                                                        std::int64_t ox) {
  const auto along = [](std::int64_t start, std::int64_t kernel, std::int64_t end) {
    return start + kernel < end ? kernel : end - start;
  };
  return static_cast<std::int32_t>(along(oy * w.stride_h, w.kernel_h, in.h + w.pad_top + w.pad_bottom) *
                                   along(ox * w.stride_w, w.kernel_w, in.w + w.pad_left + w.pad_right));
}

}  // namespace octet::kernels::reference
