// depthwise_f32 for vector instruction sets: one vector of channels of up to seven output pixels of a row at a time, so
// that a vector of weights is loaded once for all of them.
//
// Packed weights: [vector of channels][window row][tap][lane], the last vector padded with zeros. Inputs are read up to
// a vector past the last channel: activations are followed by readable bytes.
#pragma once

#include <cstring>

#include "kernels/cpu/numbers.h"
#include "kernels/cpu/window.h"

namespace octet::kernels::depthwise_f32 {

constexpr int kPixels = 7;  // maps of MobileNet are multiples of 7 wide

template <class L>
static std::int64_t vectors(const StepArgs& args) {
  return (args.output.c + L::kFloats - 1) / L::kFloats;
}
static inline std::int64_t taps(const StepArgs& args) {
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  return std::int64_t{w.kernel_h} * w.kernel_w;
}

template <class L>
static std::size_t packed_bytes(const StepArgs& args) {
  return static_cast<std::size_t>(vectors<L>(args) * L::kFloats * taps(args)) * sizeof(float);
}

template <class L>
static void pack(const StepArgs& args, const void* weights, void* packed) {
  std::memset(packed, 0, packed_bytes<L>(args));
  const auto* source = static_cast<const float*>(weights);
  for (std::int64_t c = 0; c < args.output.c; ++c) {
    float* vector = static_cast<float*>(packed) + c / L::kFloats * L::kFloats * taps(args) + c % L::kFloats;
    for (std::int64_t tap = 0; tap < taps(args); ++tap) vector[tap * L::kFloats] = *source++;
  }
}

// What stays the same along a row.
struct Row {
  const View* in;
  const View* out;
  const ConvParams* p;
};

template <class L, int Q>
static void micro(const Row& row, const float* input, const float* weights, std::int64_t channel, float* to) {
  const ConvParams& p = *row.p;
  const Window& w = p.window;
  const std::int64_t pixel_step = w.stride_w * row.in->stride_w;
  typename L::Float sums[Q];
  const auto bias = L::load(p.bias + channel);
#pragma GCC unroll 7
  for (int q = 0; q < Q; ++q) sums[q] = bias;
  for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
    const float* x = input + ky * w.dilation_h * row.in->stride_h;
    for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
      const auto weight = L::load(weights);
#pragma GCC unroll 7
      for (int q = 0; q < Q; ++q) sums[q] = L::fma(L::load(x + q * pixel_step), weight, sums[q]);
      x += w.dilation_w * row.in->stride_w;
      weights += L::kFloats;
    }
  }
  const auto lo = L::set(p.lo), hi = L::set(p.hi);
  const std::int64_t count = row.out->c - channel;
#pragma GCC unroll 7
  for (int q = 0; q < Q; ++q) {
    const auto value = L::min(hi, L::max(lo, sums[q]));  // in this order a NaN is not lost
    if (count >= L::kFloats) {
      L::store(to + q * row.out->stride_w, value);
    } else {
      L::store(to + q * row.out->stride_w, value, count);
    }
  }
}

template <class L, class All>
struct Table;
template <class L, int... N>
struct Table<L, Numbers<N...>> {
  using Micro = void (*)(const Row&, const float*, const float*, std::int64_t, float*);
  static constexpr Micro kMicro[] = {micro<L, N>...};  // of 1, 2, ... pixels
};

template <class L>
static void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Row of{&in, &out, &p};
  using Micros = Table<L, typename UpTo<kPixels>::type>;
  const std::int64_t pieces = (out.w + kPixels - 1) / kPixels;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, oy = row % out.h;
    for (std::int64_t i = 0; i < pieces; ++i) {  // of equal width
      const std::int64_t from = out.w * i / pieces, to = out.w * (i + 1) / pieces;
      const float* input =
          in.at<float>(n, oy * p.window.stride_h - p.window.pad_top, from * p.window.stride_w - p.window.pad_left);
      // All channels of a piece before the next one: its input is then read once, in order.
      for (std::int64_t channel = 0; channel < out.c; channel += L::kFloats) {
        Micros::kMicro[to - from - 1](of, input + channel, static_cast<const float*>(p.weights) + channel * taps(args),
                                      channel, out.at<float>(n, oy, from, channel));
      }
    }
  }
}

}  // namespace octet::kernels::depthwise_f32
