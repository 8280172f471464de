// Packing of weights for the tensor cores: rows of K, one for each column of the result.
#pragma once

#include <cstring>

#include "kernels/cuda/convolution.h"
#include "kernels/cuda/epilogue.cuh"

namespace octet::kernels::cuda {

// packed[column][tap][depth]: columns in groups of `group`, permuted as epilogue.cuh says; a tap takes `tap_bytes`, a
// column `column_bytes`; zeros wherever there is no weight. Columns are rounded up to whole groups.
static inline void pack_columns(const Convolution& c, bool linear, int group, std::int64_t tap_bytes,
                                std::int64_t column_bytes, const void* weights, void* packed) {
  const auto* from = static_cast<const std::int8_t*>(weights);
  auto* to = static_cast<std::int8_t*>(packed);
  const std::int64_t columns = round_up(c.out.c, group);
  std::memset(packed, 0, static_cast<std::size_t>(columns * column_bytes));
  for (std::int64_t column = 0; column < columns; ++column) {
    const std::int64_t channel = column / group * group + channel_of_column(static_cast<int>(column % group), group);
    if (channel >= c.out.c) continue;
    for (int tap = 0; tap < c.taps; ++tap) {
      for (int d = 0; d < c.depth; ++d) {
        // PyTorch's order [O, C, kh, kw]; a linear layer's columns follow its input, (h, w, c).
        const std::int64_t at = linear ? std::int64_t{tap} * c.depth + d : std::int64_t{d} * c.taps + tap;
        to[column * column_bytes + tap * tap_bytes + d] = from[channel * c.taps * c.depth + at];
      }
    }
  }
}

}  // namespace octet::kernels::cuda
