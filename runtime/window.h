// Window: the geometry of a convolution or a pool. Plain: kernels and .cu files include it.
#pragma once

namespace octet {

struct Window {  // of a square or oblong kernel; pixels
  int kernel_h = 1, kernel_w = 1;
  int stride_h = 1, stride_w = 1;
  int pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  int dilation_h = 1, dilation_w = 1;

  constexpr int span_h() const { return (kernel_h - 1) * dilation_h + 1; }  // rows of input that one output row touches
  constexpr int span_w() const { return (kernel_w - 1) * dilation_w + 1; }
  constexpr bool operator==(const Window&) const = default;

  // The same on both axes and all sides.
  static constexpr Window square(int kernel, int stride = 1, int pad = 0, int dilation = 1) {
    return {kernel, kernel, stride, stride, pad, pad, pad, pad, dilation, dilation};
  }
};

}  // namespace octet
