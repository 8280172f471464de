// The definition of a convolution, one thread per output element, for any groups, strides, dilation, padding and views:
// the fallback of every shape that a faster kernel refuses. A depthwise convolution is the case groups = channels, and
// a linear layer is a 1x1 output whose window is the whole input. A transposed convolution looks from each output for
// the inputs that reach it; taps that meet none multiply the zero point, which rule 4's bias has taken off for all
// taps.
//
// Packed weights: [kh * kw * C / groups][O], so that neighbouring threads (output channels) read neighbouring weights.
#pragma once

#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {

struct Integers {
  using Weight = std::int8_t;
  using Sum = std::uint32_t;  // may wrap where rule 5 proves that the final sum fits
  __device__ static Sum load(const View& v, int n, int y, int x, int c) {
    return static_cast<Sum>(load8(v, n, y, x, c));
  }
  __device__ static Sum outside(const ConvParams& p) { return static_cast<Sum>(p.zero_in); }
  __device__ static Sum bias(const ConvParams& p, int c) { return static_cast<Sum>(p.epilogue.bias[c]); }
  __device__ static Sum product(Sum x, Weight w) { return x * static_cast<Sum>(std::int32_t{w}); }
  __device__ static void store(const View& out, const ConvParams& p, int n, int y, int x, int c, Sum sum) {
    cuda::store(out, p.epilogue, n, y, x, c, static_cast<std::int32_t>(sum));
  }
};

struct Reals {
  using Weight = float;
  using Sum = float;
  __device__ static Sum load(const View& v, int n, int y, int x, int c) { return *v.at<float>(n, y, x, c); }
  __device__ static Sum outside(const ConvParams&) { return 0; }
  __device__ static Sum bias(const ConvParams& p, int c) { return p.bias[c]; }
  __device__ static Sum product(Sum x, Weight w) { return x * w; }
  __device__ static void store(const View& out, const ConvParams& p, int n, int y, int x, int c, Sum sum) {
    *out.at<float>(n, y, x, c) = arithmetic::clamp_real(sum, p.lo, p.hi);
  }
};

// What the output coordinate `o` meets at one tap; anything outside of [0, size) where it meets nothing. A transposed
// convolution's taps that fall between two inputs meet nothing either.
template <bool transposed>
__device__ static inline int met_at(int o, int tap, int pad, int stride, int dilation) {
  if (!transposed) return o * stride - pad + tap * dilation;
  const int spread = o + pad - tap * dilation;
  return spread < 0 || spread % stride != 0 ? -1 : spread / stride;
}

template <class Kind, bool transposed = false>
struct Convolve {
  View in, out;
  ConvParams p;
  int group_in, group_out;

  __device__ void operator()(int n, int oy, int ox, int oc) const {
    const Window& w = p.window;
    const int first = oc / group_out * group_in;
    const auto* weight = static_cast<const typename Kind::Weight*>(p.weights) + oc;
    typename Kind::Sum sum = Kind::bias(p, oc);
    for (int ky = 0; ky < w.kernel_h; ++ky) {
      const int y = met_at<transposed>(oy, ky, w.pad_top, w.stride_h, w.dilation_h);
      for (int kx = 0; kx < w.kernel_w; ++kx) {
        const int x = met_at<transposed>(ox, kx, w.pad_left, w.stride_w, w.dilation_w);
        const bool inside = y >= 0 && y < in.h && x >= 0 && x < in.w;
        for (int c = 0; c < group_in; ++c, weight += out.c) {
          sum += Kind::product(inside ? Kind::load(in, n, y, x, first + c) : Kind::outside(p), *weight);
        }
      }
    }
    Kind::store(out, p, n, oy, ox, oc, sum);
  }
};

// A convolution's own window, or for a linear layer the whole input.
template <bool linear>
static ConvParams window_params(const StepArgs& args) {
  ConvParams p = *static_cast<const ConvParams*>(args.params);
  if (linear) p.window = {.kernel_h = args.inputs[0].h, .kernel_w = args.inputs[0].w};
  return p;
}

template <class Kind, bool linear>
static int launch_convolve(const StepArgs& args, const Launch& launch) {
  const ConvParams p = window_params<linear>(args);
  const View &in = args.inputs[0], &out = args.output;
  return launch_elementwise(out, Convolve<Kind>{in, out, p, in.c / p.groups, out.c / p.groups}, launch);
}

template <class Kind>
static int launch_convolve_transposed(const StepArgs& args, const Launch& launch) {
  const ConvParams p = window_params<false>(args);
  const View &in = args.inputs[0], &out = args.output;
  return launch_elementwise(out, Convolve<Kind, true>{in, out, p, in.c / p.groups, out.c / p.groups}, launch);
}

template <class Kind, bool linear>
static std::size_t convolve_bytes(const StepArgs& args, int) {
  const ConvParams p = window_params<linear>(args);
  return static_cast<std::size_t>(p.window.kernel_h) * p.window.kernel_w * (args.inputs[0].c / p.groups) *
         args.output.c * sizeof(typename Kind::Weight);
}

// From [O, C/g, kh, kw]; a linear layer's columns are in (h, w, c) order already.
template <class Kind, bool linear>
static void pack_convolve(const StepArgs& args, int, const void* weights, void* packed) {
  const ConvParams p = window_params<linear>(args);
  const std::int64_t taps = std::int64_t{p.window.kernel_h} * p.window.kernel_w;
  const std::int64_t channels = args.inputs[0].c / p.groups, outputs = args.output.c;
  const auto* source = static_cast<const typename Kind::Weight*>(weights);
  auto* target = static_cast<typename Kind::Weight*>(packed);
  for (std::int64_t o = 0; o < outputs; ++o) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const std::int64_t from = linear ? tap * channels + c : c * taps + tap;
        target[(tap * channels + c) * outputs + o] = source[o * taps * channels + from];
      }
    }
  }
}

static const char* refuse_fused(const StepArgs& args, const Gpu&) {
  return static_cast<const ConvParams*>(args.params)->fused_max_pool ? "it does not fuse the max-pool" : nullptr;
}

}  // namespace octet::kernels::cuda
