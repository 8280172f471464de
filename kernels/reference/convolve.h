// The definition of a convolution and of its transpose, once, for integers and floats, for any groups, strides,
// dilation and padding. A depthwise convolution is the case groups = channels. Accumulates in a wider type than any
// kernel does (int64, double), so it is right even where an int32 or float kernel would not be.
#pragma once

#include "kernels/reference/epilogue.h"
#include "kernels/reference/packing.h"

namespace octet::kernels::reference {

struct Integers {
  using Weight = std::int8_t;
  using Sum = std::int64_t;
  static Sum load(const View& v, std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c) {
    return load8(v, n, y, x, c);
  }
  static Sum outside(const ConvParams& p) { return p.zero_in; }
  static Sum bias(const ConvParams& p, std::int64_t c) { return p.epilogue.bias[c]; }
  static void store(const StepArgs& args, std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c, Sum sum) {
    reference::store(args.output, static_cast<const ConvParams*>(args.params)->epilogue, n, y, x, c, sum);
  }
};

struct Reals {
  using Weight = float;
  using Sum = double;
  static Sum load(const View& v, std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c) {
    return *v.at<float>(n, y, x, c);
  }
  static Sum outside(const ConvParams&) { return 0; }
  static Sum bias(const ConvParams& p, std::int64_t c) { return p.bias[c]; }
  static void store(const StepArgs& args, std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c, Sum sum) {
    const auto& p = *static_cast<const ConvParams*>(args.params);
    *args.output.at<float>(n, y, x, c) = arithmetic::clamp_real(static_cast<float>(sum), p.lo, p.hi);
  }
};

// What the output coordinate `o` meets at one tap: an input coordinate, or -1 outside of the input and, of a transposed
// convolution, between two of its elements.
template <bool Transposed>
static std::int64_t met_at(std::int64_t o, std::int64_t tap, std::int64_t pad, std::int64_t stride,
                           std::int64_t dilation, std::int64_t size) {
  if constexpr (Transposed) {
    const std::int64_t spread = o + pad - tap * dilation;
    return spread < 0 || spread % stride != 0 || spread / stride >= size ? -1 : spread / stride;
  } else {
    const std::int64_t i = o * stride - pad + tap * dilation;
    return i >= 0 && i < size ? i : -1;
  }
}

// Taps that meet nothing multiply what padding holds, the zero point: rule 4's bias has it taken off for all taps.
template <class Kind, bool Transposed>
static typename Kind::Sum sum_at(const StepArgs& args, std::int64_t n, std::int64_t oy, std::int64_t ox,
                                 std::int64_t oc) {
  const View& in = args.inputs[0];
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Window& w = p.window;
  const std::int64_t group_in = in.c / p.groups;
  const std::int64_t first_in = oc / (args.output.c / p.groups) * group_in;
  const auto* weight = static_cast<const typename Kind::Weight*>(p.weights) + oc * group_in * w.kernel_h * w.kernel_w;
  typename Kind::Sum sum = Kind::bias(p, oc);
  for (std::int64_t c = 0; c < group_in; ++c) {
    for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
      for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
        const std::int64_t y = met_at<Transposed>(oy, ky, w.pad_top, w.stride_h, w.dilation_h, in.h);
        const std::int64_t x = met_at<Transposed>(ox, kx, w.pad_left, w.stride_w, w.dilation_w, in.w);
        sum += (y >= 0 && x >= 0 ? Kind::load(in, n, y, x, first_in + c) : Kind::outside(p)) * *weight++;
      }
    }
  }
  return sum;
}

template <class Kind, bool Transposed = false>
static void convolve(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& out = args.output;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, oy = row % out.h;
    for (std::int64_t ox = 0; ox < out.w; ++ox) {
      for (std::int64_t oc = 0; oc < out.c; ++oc) {
        Kind::store(args, n, oy, ox, oc, sum_at<Kind, Transposed>(args, n, oy, ox, oc));
      }
    }
  }
}

// A fully connected layer: the features are the input view's elements in (h, w, c) order, and the planner has put the
// weights' columns into that order.
template <class Kind>
static void multiply(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const auto& p = *static_cast<const ConvParams*>(args.params);
  for (std::int64_t n = first; n < last; ++n) {
    const auto* weight = static_cast<const typename Kind::Weight*>(p.weights);
    for (std::int64_t o = 0; o < args.output.c; ++o) {
      typename Kind::Sum sum = Kind::bias(p, o);
      for (std::int64_t y = 0; y < in.h; ++y) {
        for (std::int64_t x = 0; x < in.w; ++x) {
          for (std::int64_t c = 0; c < in.c; ++c) sum += Kind::load(in, n, y, x, c) * *weight++;
        }
      }
      Kind::store(args, n, 0, 0, o, sum);
    }
  }
}

}  // namespace octet::kernels::reference
