// Fills the border around an activation: whole runs of bytes instead of elements. Where the view owns its pixels
// (stride_w == c) the right border of one row and the left border of the next lie side by side, so a row is one run.
#pragma once

#include <cstring>

#include "kernels/kernel.h"

namespace octet::kernels::halo {

// `count` elements of one value; floats are always 0, so bytes do for both.
static inline void fill(std::byte* from, std::int64_t count, std::int64_t size, std::int32_t value) {
  if (count > 0) std::memset(from, value, static_cast<std::size_t>(count * size));
}

// Pixels [from, to) of row y, where the view is a slice of wider pixels.
static inline void fill_slice(const View& v, std::int64_t n, std::int64_t y, std::int64_t from, std::int64_t to,
                              std::int64_t size, std::int32_t value) {
  for (std::int64_t x = from; x < to; ++x) {
    fill(v.data + (n * v.stride_n + y * v.stride_h + x * v.stride_w) * size, v.c, size, value);
  }
}

static inline void fill_image(const View& v, std::int64_t n, const HaloParams& p, std::int64_t size,
                              std::int32_t value) {
  const auto at = [&](std::int64_t y, std::int64_t x) {
    return v.data + (n * v.stride_n + y * v.stride_h + x * v.stride_w) * size;
  };
  const std::int64_t width = p.left + v.w + p.right;
  const bool whole_rows = v.stride_w == v.c && v.stride_h == width * v.c;
  if (!whole_rows) {
    for (std::int64_t y = -p.top; y < v.h + p.bottom; ++y) {
      const bool outside = y < 0 || y >= v.h;
      fill_slice(v, n, y, -p.left, outside ? v.w + p.right : 0, size, value);
      if (!outside) fill_slice(v, n, y, v.w, v.w + p.right, size, value);
    }
    return;
  }
  // Everything before the first element; between one row's last element and the next one's first; behind the last.
  fill(at(-p.top, -p.left), (p.top * width + p.left) * v.c, size, value);
  for (std::int64_t y = 0; y + 1 < v.h; ++y) fill(at(y, v.w), std::int64_t{p.right + p.left} * v.c, size, value);
  fill(at(v.h - 1, v.w), (p.right + p.bottom * width) * v.c, size, value);
}

// One tile is one image.
[[maybe_unused]] static std::int64_t images(const StepArgs& args) { return args.output.n; }

template <std::int64_t Size>
static void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const auto& p = *static_cast<const HaloParams*>(args.params);
  for (std::int64_t n = first; n < last; ++n) fill_image(args.output, n, p, Size, Size == 1 ? p.fill : 0);
}

}  // namespace octet::kernels::halo
