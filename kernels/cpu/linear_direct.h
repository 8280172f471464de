// A fully connected layer as a direct convolution (direct_conv.h): a 1x1 window over one row whose "pixels" are the
// images of the batch. The features of an image must lie side by side (h * w * c without gaps) and the images a fixed
// step apart; where they do not, they are gathered into scratch memory first.
#pragma once

#include "kernels/cpu/direct_conv.h"

namespace octet::kernels::direct {

[[maybe_unused]] static std::int64_t features(const StepArgs& args) {
  const View& in = args.inputs[0];
  return std::int64_t{in.h} * in.w * in.c;
}

// The linear step seen as that convolution, over `data` with `image_step` elements from one image to the next.
struct LinearAsConvolution {
  View input;
  StepArgs args;

  LinearAsConvolution(const StepArgs& linear, const std::byte* data, std::int64_t image_step) : args(linear) {
    const View& in = linear.inputs[0];
    input = in;
    input.data = const_cast<std::byte*>(data);
    input.n = 1, input.h = 1, input.w = in.n, input.c = static_cast<std::int32_t>(features(linear));
    input.stride_w = image_step, input.stride_h = image_step * in.n, input.stride_n = input.stride_h;
    args.inputs = &input;
    View& out = args.output;
    out.w = out.n, out.n = 1, out.h = 1;
    out.stride_w = linear.output.stride_n, out.stride_h = out.stride_w * out.w, out.stride_n = out.stride_h;
  }
  explicit LinearAsConvolution(const StepArgs& linear) : LinearAsConvolution(linear, nullptr, features(linear)) {}
  LinearAsConvolution(const LinearAsConvolution&) = delete;  // args points into it
};

template <class Traits>
static std::size_t linear_packed_bytes(const StepArgs& args) {
  return packed_bytes<Traits>(LinearAsConvolution(args).args);
}

template <class Traits>
static void linear_pack(const StepArgs& args, const void* weights, void* packed) {
  pack<Traits>(LinearAsConvolution(args).args, weights, packed);
}

template <class Traits>
static std::int64_t linear_tiles(const StepArgs& args) {
  return tiles<Traits>(LinearAsConvolution(args).args);
}

template <class Traits>
static std::size_t linear_scratch_bytes(const StepArgs& args) {
  return static_cast<std::size_t>(features(args) * args.inputs[0].n) * sizeof(typename Traits::Input) +
         View::kReadableBeyond;
}

template <class Traits>
static void linear_run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  using Input = typename Traits::Input;
  const View& in = args.inputs[0];
  const bool dense_rows = in.stride_c == 1 && (in.w == 1 || in.stride_w == in.c);
  const bool dense_image = dense_rows && (in.h == 1 || in.stride_h == std::int64_t{in.w} * in.c);
  if (dense_image) {
    return run<Traits>(LinearAsConvolution(args, in.data, in.stride_n).args, first, last, nullptr);
  }
  auto* to = static_cast<Input*>(scratch);
  for (std::int64_t n = 0; n < in.n; ++n) {
    for (std::int64_t y = 0; y < in.h; ++y) {
      for (std::int64_t x = 0; x < in.w; ++x, to += in.c) {
        std::memcpy(to, in.at<Input>(n, y, x), static_cast<std::size_t>(in.c) * sizeof(Input));
      }
    }
  }
  const auto* gathered = static_cast<const std::byte*>(scratch);
  run<Traits>(LinearAsConvolution(args, gathered, features(args)).args, first, last, nullptr);
}

}  // namespace octet::kernels::direct
