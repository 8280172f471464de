// What the portable kernels share: loops that the compiler turns into the vector instructions of the baseline (SSE2's
// pmaddwd, NEON's smlal). Activations are widened to 16 bits once, then all products are int16 x int16 -> int32, which
// is exact; sums may wrap on the way (the build uses -fwrapv) because rule 5 proves that the final sum fits.
#pragma once

#include <cstring>

#include "kernels/cpu/window.h"
#include "runtime/arithmetic.h"

namespace octet::kernels::portable {

constexpr int kChannels = 4;  // output channels a dot product handles at once
constexpr int kPixels = 2;    // output pixels likewise: 8 sums and 6 operands fill SSE2's 16 registers
constexpr int kDepth = 16;    // the depth is padded to whole vectors

constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

template <class T>
static inline void widen(const T* __restrict from, std::int16_t* __restrict to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = from[i];
}

// sums[p][c] = x[p] . w[c], over `depth` elements; rows of x and w are `depth` apart.
[[maybe_unused]] static void dot_2x4(const std::int16_t* __restrict x, const std::int16_t* __restrict w,
                                     std::int64_t depth, std::int32_t sums[kPixels][kChannels]) {
  std::int32_t s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
  const std::int16_t *x1 = x + depth, *w1 = w + depth, *w2 = w1 + depth, *w3 = w2 + depth;
  for (std::int64_t k = 0; k < depth; ++k) {
    s00 += x[k] * w[k], s01 += x[k] * w1[k], s02 += x[k] * w2[k], s03 += x[k] * w3[k];
    s10 += x1[k] * w[k], s11 += x1[k] * w1[k], s12 += x1[k] * w2[k], s13 += x1[k] * w3[k];
  }
  const std::int32_t all[kPixels][kChannels] = {{s00, s01, s02, s03}, {s10, s11, s12, s13}};
  std::memcpy(sums, all, sizeof all);
}

// Requantises `count` consecutive channels, starting at `channel`, to output element `out` (rules 4, 7, 13).
[[maybe_unused]] static void store_channels(const Epilogue& e, DType type, std::byte* out, std::int64_t channel,
                                            std::int64_t count, const std::int32_t* __restrict sums) {
  const std::int32_t* __restrict bias = e.bias + channel;
  const float* __restrict m = e.multiplier + channel;
  if (type == DType::f32) {
    auto* target = reinterpret_cast<float*>(out);
    for (std::int64_t c = 0; c < count; ++c) target[c] = static_cast<float>(sums[c] + bias[c]) * m[c];
    return;
  }
  auto* target = reinterpret_cast<std::uint8_t*>(out);
  if (e.form == Epilogue::Form::notebook) {
    for (std::int64_t c = 0; c < count; ++c) {
      target[c] =
          static_cast<std::uint8_t>(arithmetic::requantise_notebook(sums[c] + bias[c], e.scale_out, m[c], e.lo, e.hi));
    }
    return;
  }
  for (std::int64_t c = 0; c < count; ++c) {
    target[c] = static_cast<std::uint8_t>(arithmetic::requantise(sums[c] + bias[c], m[c], e.lo, e.hi, e.zero));
  }
}

[[maybe_unused]] static inline std::byte* pixel(const View& v, std::int64_t n, std::int64_t y, std::int64_t x,
                                                std::int64_t c = 0) {
  return v.data + (n * v.stride_n + y * v.stride_h + x * v.stride_w + c) * (v.type == DType::f32 ? 4 : 1);
}

using window::inside;
using window::rows;
using window::Taps;

}  // namespace octet::kernels::portable
