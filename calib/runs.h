// Walking an activation of any strides as runs of contiguous floats, as long as its layout allows.
#pragma once

#include <span>
#include <vector>

#include "runtime/error.h"
#include "runtime/view.h"

namespace octet::calib {

// Calls run(std::span<const float>) until every element has been seen once, in the order of the view's memory. A view
// whose channels are not adjacent (NCHW) is gathered a row at a time.
template <class Run>
void for_each_run(const View& v, const Run& run) {
  require(v.type == DType::f32, "an observer was shown a {} activation", name_of(v.type));
  const std::int64_t row = std::int64_t{v.w} * v.c;
  const bool row_is_run = v.stride_c == 1 && (v.stride_w == v.c || v.w == 1);
  const bool image_is_run = row_is_run && (v.stride_h == row || v.h == 1);
  std::vector<float> gathered;
  for (std::int64_t n = 0; n < v.n; ++n) {
    if (image_is_run) {
      run(std::span<const float>(v.at<float>(n, 0, 0), static_cast<std::size_t>(row * v.h)));
      continue;
    }
    for (std::int64_t y = 0; y < v.h; ++y) {
      if (row_is_run) {
        run(std::span<const float>(v.at<float>(n, y, 0), static_cast<std::size_t>(row)));
        continue;
      }
      gathered.clear();
      for (std::int64_t x = 0; x < v.w; ++x) {
        for (std::int64_t c = 0; c < v.c; ++c) gathered.push_back(*v.at<float>(n, y, x, c));
      }
      run(std::span<const float>(gathered));
    }
  }
}

}  // namespace octet::calib
