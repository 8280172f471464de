// dequantise_f32 for vector instruction sets: step * (q - zero), or the notebook's division. Bytes may be read up to a
// vector past the last channel: activations are followed by readable bytes. To the caller's planes, a square block of
// pixels and channels at a time goes through the stack.
#pragma once

#include "kernels/cpu/window.h"

namespace octet::kernels::dequantise {

template <class L, class T>
struct Dequantiser {
  typename L::Int zero;
  typename L::Float step;
  bool divides;

  __attribute__((always_inline)) typename L::Float operator()(const T* from) const {
    const auto q = L::to_float(L::sub(L::widen(from), zero));
    return divides ? L::div(q, step) : L::mul(step, q);
  }
};

template <class L, class T>
static void run_of(const Dequantiser<L, T>& dequantiser, const T* from, float* to, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + L::kFloats <= count; i += L::kFloats) L::store(to + i, dequantiser(from + i));
  if (i < count) L::store(to + i, dequantiser(from + i), count - i);
}

template <class L, class T>
static void to_planes(const StepArgs& args, const Dequantiser<L, T>& dequantiser, std::int64_t n, std::int64_t y) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  constexpr std::int64_t kSide = L::kFloats;
  float block[kSide][kSide];  // [pixel][channel]
  for (std::int64_t x = 0; x < out.w; x += kSide) {
    const std::int64_t pixels = out.w - x < kSide ? out.w - x : kSide;
    for (std::int64_t c = 0; c < out.c; c += kSide) {
      const std::int64_t channels = out.c - c < kSide ? out.c - c : kSide;
      for (std::int64_t i = 0; i < pixels; ++i) L::store(block[i], dequantiser(in.at<T>(n, y, x + i, c)));
      for (std::int64_t k = 0; k < channels; ++k) {
        float* to = out.at<float>(n, y, x, c + k);
        for (std::int64_t i = 0; i < pixels; ++i) to[i * out.stride_w] = block[i][k];
      }
    }
  }
}

template <class L, class T>
static void run_as(const StepArgs& args, std::int64_t first, std::int64_t last) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto& p = *static_cast<const QuantiseParams*>(args.params);
  const bool divides = p.divisor != 0;
  const Dequantiser<L, T> dequantiser{L::set(p.zero), L::set(divides ? p.divisor : p.step), divides};
  const bool dense = out.stride_c == 1 && in.stride_w == out.c && out.stride_w == out.c;
  const std::int64_t runs = dense ? 1 : out.w, length = dense ? std::int64_t{out.w} * out.c : out.c;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, y = row % out.h;
    if (out.stride_c != 1) {
      to_planes<L, T>(args, dequantiser, n, y);
      continue;
    }
    for (std::int64_t x = 0; x < runs; ++x) {
      run_of<L, T>(dequantiser, in.at<T>(n, y, x), out.at<float>(n, y, x), length);
    }
  }
}

template <class L>
static void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const bool is_unsigned = args.inputs[0].type == DType::u8;
  (is_unsigned ? run_as<L, std::uint8_t> : run_as<L, std::int8_t>)(args, first, last);
}

}  // namespace octet::kernels::dequantise
