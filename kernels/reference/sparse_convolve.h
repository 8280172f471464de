// The definition of a sparse convolution, once, for 8-bit integers, the wide first layer and floats:
//
//     acc[r][o] = bias[o] + sum over taps k with map(k, r) >= 0, over c, of  W[o][k][c] * (q[map(k, r)][c] - zero_in)
//
// An absent neighbour is a real 0 and adds nothing; so, other than in a dense convolution, the bias does not hold the
// zero point's share (rule 4), which depends on the neighbours that are there. The kernel map is the second input:
// runtime/rulebook.h. Weights stay [O, taps, C]. One tile is one output row.
#pragma once

#include "kernels/reference/epilogue.h"
#include "kernels/reference/packing.h"

namespace octet::kernels::reference {

struct SparseIntegers {
  using Weight = std::int8_t;
  using Sum = std::int64_t;
  static Sum load(const StepArgs& args, std::int64_t row, std::int64_t c) {
    return load8(args.inputs[0], 0, 0, row, c) - static_cast<const ConvParams*>(args.params)->zero_in;
  }
  static Sum bias(const ConvParams& p, std::int64_t c) { return p.epilogue.bias[c]; }
  static void store(const StepArgs& args, std::int64_t row, std::int64_t c, Sum sum) {
    reference::store(args.output, static_cast<const ConvParams*>(args.params)->epilogue, 0, 0, row, c, sum);
  }
};

// As two planes of s8, to say what they are; 128 * high + low is the s16 itself.
struct SparseWide : SparseIntegers {
  static Sum load(const StepArgs& args, std::int64_t row, std::int64_t c) {
    const Sum q = *args.inputs[0].at<std::int16_t>(0, 0, row, c);
    const Sum high = (q + 64) >> 7, low = q - 128 * high;
    return 128 * high + low;
  }
};

struct SparseReals {
  using Weight = float;
  using Sum = double;
  static Sum load(const StepArgs& args, std::int64_t row, std::int64_t c) {
    return *args.inputs[0].at<float>(0, 0, row, c);
  }
  static Sum bias(const ConvParams& p, std::int64_t c) { return p.bias[c]; }
  static void store(const StepArgs& args, std::int64_t row, std::int64_t c, Sum sum) {
    const auto& p = *static_cast<const ConvParams*>(args.params);
    *args.output.at<float>(0, 0, row, c) = arithmetic::clamp_real(static_cast<float>(sum), p.lo, p.hi);
  }
};

template <class Kind>
static void sparse_convolve(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const std::int64_t channels = args.inputs[0].c;
  const View& map = args.inputs[1];
  const auto& p = *static_cast<const ConvParams*>(args.params);
  for (std::int64_t row = first; row < last; ++row) {
    for (std::int64_t o = 0; o < args.output.c; ++o) {
      typename Kind::Sum sum = Kind::bias(p, o);
      for (std::int64_t tap = 0; tap < p.taps; ++tap) {
        const std::int64_t from = *map.at<std::int32_t>(0, 0, row, tap);
        if (from < 0) continue;
        const auto* weight = static_cast<const typename Kind::Weight*>(p.weights) + (o * p.taps + tap) * channels;
        for (std::int64_t c = 0; c < channels; ++c) sum += Kind::load(args, from, c) * weight[c];
      }
      Kind::store(args, row, o, sum);
    }
  }
}

[[maybe_unused]] static std::int64_t sparse_rows(const StepArgs& args) { return args.output.w; }

[[maybe_unused]] static std::size_t sparse_weight_count(const StepArgs& args) {
  const auto& p = *static_cast<const ConvParams*>(args.params);
  return static_cast<std::size_t>(args.output.c) * static_cast<std::size_t>(args.inputs[0].c) *
         static_cast<std::size_t>(p.taps);
}

}  // namespace octet::kernels::reference
