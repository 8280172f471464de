// Filling the border around an activation, for kernels that read their padding instead of testing for it. The interior
// is not touched, so this may run before the activation is made.
#pragma once

#include "kernels/reference/access.h"

namespace octet::kernels::reference {

template <class T>
static void fill_row(const View& v, std::int64_t n, std::int64_t y, std::int64_t from, std::int64_t to, T value) {
  for (std::int64_t x = from; x < to; ++x) {
    T* pixel = v.at<T>(n, y, x);
    for (std::int64_t c = 0; c < v.c; ++c) pixel[c] = value;
  }
}

template <class T>
static void fill_halo(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& v = args.output;
  const auto& p = *static_cast<const HaloParams*>(args.params);
  const T value = static_cast<T>(p.fill);
  for (std::int64_t n = first; n < last; ++n) {
    for (std::int64_t y = -p.top; y < v.h + p.bottom; ++y) {
      const bool outside = y < 0 || y >= v.h;
      fill_row<T>(v, n, y, -p.left, outside ? v.w + p.right : 0, value);
      if (!outside) fill_row<T>(v, n, y, v.w, v.w + p.right, value);
    }
  }
}

}  // namespace octet::kernels::reference
