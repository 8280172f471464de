// linear_f32 for vector instruction sets: dot products of four rows of weights with a few images at a time. With one
// image the weights stream through once, which is all there is to do; with more, each load serves them all.
//
// Packed weights: [outputs padded to 4][features padded to whole vectors].
#pragma once

#include <cstring>

#include "kernels/cpu/numbers.h"
#include "kernels/kernel.h"
#include "runtime/arithmetic.h"

namespace octet::kernels::linear_f32 {

constexpr int kRows = 4;             // outputs at once
constexpr std::int64_t kBlock = 32;  // outputs of one tile
template <class L>
constexpr int kImages = L::kSums / kRows < 4 ? L::kSums / kRows : 4;

static inline std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
static inline std::int64_t features(const StepArgs& args) {
  const View& in = args.inputs[0];
  return std::int64_t{in.h} * in.w * in.c;
}
template <class L>
static std::int64_t depth(const StepArgs& args) {
  return round_up(features(args), L::kFloats);
}
static inline std::int64_t blocks(const StepArgs& args) { return (args.output.c + kBlock - 1) / kBlock; }

template <class L>
static std::int64_t tiles(const StepArgs& args) {
  return (args.output.n + kImages<L> - 1) / kImages<L> * blocks(args);
}

template <class L>
static std::size_t packed_bytes(const StepArgs& args) {
  return static_cast<std::size_t>(round_up(args.output.c, kRows) * depth<L>(args)) * sizeof(float);
}

template <class L>
static void pack(const StepArgs& args, const void* weights, void* packed) {
  std::memset(packed, 0, packed_bytes<L>(args));
  const std::int64_t count = features(args);
  for (std::int64_t o = 0; o < args.output.c; ++o) {
    std::memcpy(static_cast<float*>(packed) + o * depth<L>(args), static_cast<const float*>(weights) + o * count,
                static_cast<std::size_t>(count) * sizeof(float));
  }
}

template <class L>
static std::size_t scratch_bytes(const StepArgs& args) {
  return static_cast<std::size_t>(kImages<L> * depth<L>(args)) * sizeof(float);
}

// The features of one image as one row, padded with zeros.
template <class L>
static void gather(const StepArgs& args, std::int64_t n, float* row) {
  const View& in = args.inputs[0];
  float* to = row;
  for (std::int64_t y = 0; y < in.h; ++y) {
    for (std::int64_t x = 0; x < in.w; ++x, to += in.c) {
      std::memcpy(to, in.at<float>(n, y, x), static_cast<std::size_t>(in.c) * sizeof(float));
    }
  }
  for (; to < row + depth<L>(args); ++to) *to = 0;
}

// out[image][r] for four rows of weights, each `depth` long.
template <class L, int N>
static void micro(const float* x, const float* weights, std::int64_t depth, float (*out)[kRows]) {
  typename L::Float sums[N][kRows];
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n) {
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) sums[n][r] = L::set(0.0f);
  }
  for (std::int64_t k = 0; k < depth; k += L::kFloats) {
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const auto w = L::load(weights + r * depth + k);
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sums[n][r] = L::fma(L::load(x + n * depth + k), w, sums[n][r]);
    }
  }
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n) {
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) out[n][r] = L::sum(sums[n][r]);
  }
}

template <class L, class All>
struct Table;
template <class L, int... N>
struct Table<L, Numbers<N...>> {
  using Micro = void (*)(const float*, const float*, std::int64_t, float (*)[kRows]);
  static constexpr Micro kMicro[] = {micro<L, N>...};  // of 1, 2, ... images
};

template <class L>
static void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const View& out = args.output;
  const std::int64_t length = depth<L>(args);
  auto* rows = static_cast<float*>(scratch);
  std::int64_t gathered = -1;
  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t n = tile / blocks(args) * kImages<L>;
    const std::int64_t images = out.n - n < kImages<L> ? out.n - n : kImages<L>;
    if (n != gathered) {
      for (std::int64_t i = 0; i < images; ++i) gather<L>(args, n + i, rows + i * length);
      gathered = n;
    }
    const std::int64_t from = tile % blocks(args) * kBlock, to = from + kBlock < out.c ? from + kBlock : out.c;
    for (std::int64_t o = from; o < to; o += kRows) {
      float sums[kImages<L>][kRows];
      const auto* weights = static_cast<const float*>(p.weights) + o * length;
      Table<L, typename UpTo<kImages<L>>::type>::kMicro[images - 1](rows, weights, length, sums);
      for (std::int64_t i = 0; i < images; ++i) {
        float* target = out.at<float>(n + i, 0, 0);
        for (std::int64_t r = 0; r < kRows && o + r < to; ++r) {
          target[(o + r) * out.stride_c] = arithmetic::clamp_real(sums[i][r] + p.bias[o + r], p.lo, p.hi);
        }
      }
    }
  }
}

}  // namespace octet::kernels::linear_f32
