// quantise_s8 for vector instruction sets: rule 2. Floats whose channels lie side by side are quantised run by run. The
// caller's tensors are planes: a block of pixels of each channel is quantised, then put between the other channels'.
// The caller's memory is not read beyond its end.
#pragma once

#include <cstring>

#include "kernels/cpu/to_bytes.h"
#include "kernels/cpu/window.h"

namespace octet::kernels::quantise {

template <class L, class T>
struct Quantiser {
  ToBytes<L, T> to_bytes;
  typename L::Float inverse;
  bool nan = false;  // met one

  // Up to L::kBytes floats that follow each other.
  __attribute__((always_inline)) typename L::Bytes block(const float* from, std::int64_t count) {
    typename L::Float values[4];
    for (int i = 0; i < 4; ++i, from += L::kFloats, count -= L::kFloats) {
      const auto x = count >= L::kFloats ? L::load(from) : count > 0 ? L::load(from, count) : L::set(0.0f);
      nan |= L::any_nan(x);
      values[i] = L::mul(x, inverse);
    }
    return to_bytes(values);
  }
  void run(const float* from, std::uint8_t* to, std::int64_t count) {
    std::int64_t i = 0;
    for (; i + L::kBytes <= count; i += L::kBytes) L::store_bytes(to + i, block(from + i, L::kBytes));
    if (i < count) L::store_bytes(to + i, block(from + i, count - i), count - i);
  }
};

static inline void interleave_three(const std::uint8_t* __restrict planes, std::int64_t plane,
                                    std::uint8_t* __restrict to, std::int64_t pixels) {
  for (std::int64_t x = 0; x < pixels; ++x) {
    to[3 * x] = planes[x], to[3 * x + 1] = planes[plane + x], to[3 * x + 2] = planes[2 * plane + x];
  }
}

// One row of planes: in blocks of pixels, each channel through the stack; three channels are common.
template <class L, class T>
static void planar_row(const StepArgs& args, Quantiser<L, T>& quantiser, std::int64_t n, std::int64_t y) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  std::uint8_t planes[3][L::kBytes];
  for (std::int64_t x = 0; x < out.w; x += L::kBytes) {
    const std::int64_t pixels = out.w - x < L::kBytes ? out.w - x : L::kBytes;
    const bool three = out.c == 3 && out.stride_w == 3;
    for (std::int64_t c = 0; c < out.c; ++c) {
      std::uint8_t* plane = planes[three ? c : 0];
      L::store_bytes(plane, quantiser.block(in.at<float>(n, y, x, c), pixels));
      if (three) continue;
      auto* to = out.at<std::uint8_t>(n, y, x, c);
      for (std::int64_t i = 0; i < pixels; ++i) to[i * out.stride_w] = plane[i];
    }
    if (three) interleave_three(planes[0], L::kBytes, out.at<std::uint8_t>(n, y, x), pixels);
  }
}

// Neither channels nor pixels of the input follow each other: float by float.
template <class L, class T>
static void scattered_row(const StepArgs& args, Quantiser<L, T>& quantiser, std::int64_t n, std::int64_t y) {
  for (std::int64_t x = 0; x < args.output.w; ++x) {
    for (std::int64_t c = 0; c < args.output.c; ++c) {
      quantiser.run(args.inputs[0].at<float>(n, y, x, c), args.output.at<std::uint8_t>(n, y, x, c), 1);
    }
  }
}

template <class L, class T>
static void run_as(const StepArgs& args, std::int64_t first, std::int64_t last) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto& p = *static_cast<const QuantiseParams*>(args.params);
  Quantiser<L, T> quantiser{ToBytes<L, T>::of(p.lo, p.hi, p.zero), L::set(p.inverse)};
  const bool dense = in.stride_c == 1 && in.stride_w == out.c && out.stride_w == out.c;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, y = row % out.h;
    if (in.stride_c == 1) {
      const std::int64_t runs = dense ? 1 : out.w, length = dense ? std::int64_t{out.w} * out.c : out.c;
      for (std::int64_t x = 0; x < runs; ++x) {
        quantiser.run(in.at<float>(n, y, x), out.at<std::uint8_t>(n, y, x), length);
      }
    } else if (in.stride_w == 1) {
      planar_row<L, T>(args, quantiser, n, y);
    } else {
      scattered_row<L, T>(args, quantiser, n, y);
    }
  }
  if (quantiser.nan) __atomic_store_n(args.fault, 1, __ATOMIC_RELAXED);
}

template <class L>
static void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const bool is_unsigned = args.output.type == DType::u8;
  (is_unsigned ? run_as<L, std::uint8_t> : run_as<L, std::int8_t>)(args, first, last);
}

[[maybe_unused]] static const char* refuse(const StepArgs& args) {
  const bool dead = static_cast<const QuantiseParams*>(args.params)->dead;
  return dead ? "the edge is dead: every value is the zero point" : nullptr;
}

}  // namespace octet::kernels::quantise
