// Geometry of a convolution as a matrix product, host side: what the tensor-core kernels' planning has in common.
//
//     out[rows][channels] = in[rows][taps * depth] * weights[taps * depth][channels]
//     rows: output pixels of all images; taps: kernel_h * kernel_w; depth: input channels
//
// A linear layer is a convolution whose window is the whole input.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/kernel.h"

namespace octet::kernels::cuda {

struct Convolution {
  View in, out;
  ConvParams p;
  std::int64_t rows = 0;  // before a fused max-pool: of the convolution itself
  int taps = 1, depth = 1;

  // `linear`: ignores the window and takes all of the input.
  Convolution(const StepArgs& args, bool linear)
      : in(args.inputs[0]), out(args.output), p(*static_cast<const ConvParams*>(args.params)) {
    if (linear) p.window = Window{.kernel_h = in.h, .kernel_w = in.w};
    if (linear && contiguous(in)) {  // plain rows of numbers
      in.c *= in.h * in.w, in.h = in.w = 1;
      in.stride_w = in.stride_h = in.stride_n;
      p.window = Window{};
    }
    taps = p.window.kernel_h * p.window.kernel_w;
    depth = in.c;
    rows = std::int64_t{out.n} * out.h * out.w * (p.fused_max_pool ? 4 : 1);
  }

  // Pixels follow each other without padded channels.
  static bool contiguous(const View& v) {
    return v.stride_c == 1 && v.stride_w == v.c && v.stride_h == std::int64_t{v.w} * v.c &&
           v.stride_n == std::int64_t{v.h} * v.stride_h;
  }
  // Neighbouring rows of the matrix are neighbours in memory: one stride leads from each to the next.
  bool plain_rows() const {
    const Window& w = p.window;
    return taps == 1 && w.stride_h == 1 && w.stride_w == 1 && out.h == in.h && out.w == in.w && w.pad_top == 0 &&
           w.pad_left == 0 && (in.h == 1 || in.stride_h == in.w * in.stride_w) &&
           (in.n == 1 || in.stride_n == in.h * in.stride_h || (in.h == 1 && in.w == 1));
  }
  std::int64_t row_stride() const { return in.h == 1 && in.w == 1 ? in.stride_n : in.stride_w; }
  bool padded() const {
    const Window& w = p.window;
    const int pool = p.fused_max_pool ? 2 : 1;
    return w.pad_top > 0 || w.pad_left > 0 || (out.h * pool - 1) * w.stride_h - w.pad_top + w.span_h() > in.h ||
           (out.w * pool - 1) * w.stride_w - w.pad_left + w.span_w() > in.w;
  }
  // Pixels start at multiples of `bytes`, channels are neighbours.
  bool aligned(std::int64_t bytes) const {
    return in.stride_c == 1 && in.stride_w % bytes == 0 && in.stride_h % bytes == 0 && in.stride_n % bytes == 0 &&
           reinterpret_cast<std::uintptr_t>(in.data) % bytes == 0;
  }
};

constexpr std::int64_t round_up(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }
constexpr std::int64_t ceil_div(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit; }

}  // namespace octet::kernels::cuda
