// The definition of to_dense: sites to a dense map of C * Z channels, channel c * Z + z, with `fill` where no site is.
// The second input is the sites' keys (runtime/sparse.h), ascending. One tile is one row of one image.
#pragma once

#include "kernels/kernel.h"

namespace octet::kernels::reference {

// The first site whose key is at least `key`.
[[maybe_unused]] static std::int64_t lower_bound(const View& keys, std::int64_t key) {
  std::int64_t first = 0, last = keys.w;
  while (first < last) {
    const std::int64_t middle = first + (last - first) / 2;
    if (*keys.at<std::int64_t>(0, 0, middle) < key) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first;
}

template <class T>
static void scatter(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View &in = args.inputs[0], &keys = args.inputs[1], &out = args.output;
  const auto& p = *static_cast<const ToDenseParams*>(args.params);
  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t n = tile / out.h, y = tile % out.h;
    for (std::int64_t x = 0; x < out.w; ++x) {
      for (std::int64_t c = 0; c < out.c; ++c) *out.at<T>(n, y, x, c) = static_cast<T>(p.fill);
    }
    for (std::int64_t z = 0; z < p.depth; ++z) {
      const std::int64_t row = ((n * p.depth + z) * out.h + y) * out.w;  // the key of (n, z, y, 0)
      for (std::int64_t site = lower_bound(keys, row); site < keys.w; ++site) {
        const std::int64_t x = *keys.at<std::int64_t>(0, 0, site) - row;
        if (x >= out.w) break;
        for (std::int64_t c = 0; c < in.c; ++c) *out.at<T>(n, y, x, c * p.depth + z) = *in.at<T>(0, 0, site, c);
      }
    }
  }
}

}  // namespace octet::kernels::reference
