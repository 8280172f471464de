// A photo's bytes through a table: shared by lookup_s8 (to 8 bits) and lookup_f32.
#pragma once

#include "kernels/reference/access.h"

namespace octet::kernels::reference {

template <class T>
static void lookup(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto* table = static_cast<const T*>(static_cast<const LookupParams*>(args.params)->table);
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, y = row % out.h;
    for (std::int64_t x = 0; x < out.w; ++x) {
      const std::uint8_t* pixel = in.at<std::uint8_t>(n, y, x);
      T* target = out.at<T>(n, y, x);
      for (std::int64_t c = 0; c < out.c; ++c) target[c * out.stride_c] = table[c * 256 + pixel[c * in.stride_c]];
    }
  }
}

}  // namespace octet::kernels::reference
