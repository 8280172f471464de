// to_dense into maps whose channels lie side by side: each row is filled as runs, then its sites are written. Row by
// row of the output, the sites of one (z, y) are one run of the ascending keys, found by halving.
#pragma once

#include <cstring>

#include "kernels/kernel.h"
#include "kernels/reference/scatter.h"

namespace octet::kernels::scatter {

[[maybe_unused]] static const char* refuse(const StepArgs& args) {
  return args.output.stride_c == 1 ? nullptr : "the output's channels do not lie side by side";
}
[[maybe_unused]] static std::int64_t tiles(const StepArgs& args) { return std::int64_t{args.output.n} * args.output.h; }

template <class T>
static void fill(T* to, std::int64_t count, std::int32_t value) {
  if constexpr (sizeof(T) == 1) {
    std::memset(to, value, static_cast<std::size_t>(count));
  } else {
    for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<T>(value);
  }
}

template <class T>
static void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View &in = args.inputs[0], &keys = args.inputs[1], &out = args.output;
  const auto& p = *static_cast<const ToDenseParams*>(args.params);
  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t n = tile / out.h, y = tile % out.h;
    const bool dense = out.stride_w == out.c;
    for (std::int64_t x = 0; x < (dense ? 1 : out.w); ++x) {
      fill(out.at<T>(n, y, x), dense ? std::int64_t{out.w} * out.c : out.c, p.fill);
    }
    for (std::int64_t z = 0; z < p.depth; ++z) {
      const std::int64_t row = ((n * p.depth + z) * out.h + y) * out.w;
      for (std::int64_t site = reference::lower_bound(keys, row); site < keys.w; ++site) {
        const std::int64_t x = *keys.at<std::int64_t>(0, 0, site) - row;
        if (x >= out.w) break;
        const T* from = in.at<T>(0, 0, site);
        T* to = out.at<T>(n, y, x, z);
        for (std::int64_t c = 0; c < in.c; ++c) to[c * p.depth] = from[c];
      }
    }
  }
}

}  // namespace octet::kernels::scatter
