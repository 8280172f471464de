// depthwise_f32_portable: sums of all channels of one output pixel side by side, one tap after another.
//
// Packed weights, float: [kh * kw][C], so that a tap's weights lie in the order of the pixel's channels.
#include "kernels/cpu/portable.h"

namespace octet::kernels {
namespace {

constexpr std::int64_t kBlock = 64;

std::size_t packed_bytes(const StepArgs& args) {
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  return static_cast<std::size_t>(w.kernel_h) * w.kernel_w * args.output.c * sizeof(float);
}

void pack(const StepArgs& args, const void* weights, void* packed) {
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  const std::int64_t taps = std::int64_t{w.kernel_h} * w.kernel_w;
  const auto* source = static_cast<const float*>(weights);
  for (std::int64_t c = 0; c < args.output.c; ++c) {
    for (std::int64_t tap = 0; tap < taps; ++tap) static_cast<float*>(packed)[tap * args.output.c + c] = *source++;
  }
}

void accumulate(const float* __restrict x, const float* __restrict w, float* __restrict sums, std::int64_t count) {
  for (std::int64_t c = 0; c < count; ++c) sums[c] += x[c] * w[c];
}

void run_block(const StepArgs& args, std::int64_t n, std::int64_t oy, std::int64_t ox, std::int64_t c) {
  const View& out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Window& w = p.window;
  const std::int64_t count = out.c - c < kBlock ? out.c - c : kBlock;
  float sums[kBlock] = {};
  for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
    const std::int64_t y = oy * w.stride_h - w.pad_top + ky * w.dilation_h;
    for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
      const std::int64_t x = ox * w.stride_w - w.pad_left + kx * w.dilation_w;
      accumulate(args.inputs[0].at<float>(n, y, x, c),
                 static_cast<const float*>(p.weights) + (ky * w.kernel_w + kx) * out.c + c, sums, count);
    }
  }
  float* target = out.at<float>(n, oy, ox, c);
  for (std::int64_t i = 0; i < count; ++i) target[i] = arithmetic::clamp_real(sums[i] + p.bias[c + i], p.lo, p.hi);
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  for (std::int64_t row = first; row < last; ++row) {
    for (std::int64_t ox = 0; ox < args.output.w; ++ox) {
      for (std::int64_t c = 0; c < args.output.c; c += kBlock) {
        run_block(args, row / args.output.h, row % args.output.h, ox, c);
      }
    }
  }
}

}  // namespace

extern const Kernel depthwise_f32_portable;
const Kernel depthwise_f32_portable = {
    .op = "depthwise_f32",
    .isa = "portable",
    .refuse = accept,
    .tiles = portable::rows,
    .run = run,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .reads_halo = true,
};

}  // namespace octet::kernels
