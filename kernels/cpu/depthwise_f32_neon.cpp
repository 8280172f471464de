// depthwise_f32_neon: eight channels of four output pixels at a time, on fused multiply-add.
//
// Packed weights, float: [channel block of 8][kh * kw][8].
#include "kernels/cpu/neon.h"

namespace octet::kernels {
namespace {

constexpr std::int64_t kBlock = 8;
constexpr int kPixels = 4;

std::int64_t taps(const StepArgs& args) {
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  return std::int64_t{w.kernel_h} * w.kernel_w;
}

std::size_t packed_bytes(const StepArgs& args) {
  const std::int64_t blocks = (args.output.c + kBlock - 1) / kBlock;
  return static_cast<std::size_t>(blocks * taps(args) * kBlock) * sizeof(float);
}

void pack(const StepArgs& args, const void* weights, void* packed) {
  std::memset(packed, 0, packed_bytes(args));
  const auto* source = static_cast<const float*>(weights);
  auto* target = static_cast<float*>(packed);
  for (std::int64_t c = 0; c < args.output.c; ++c) {
    for (std::int64_t tap = 0; tap < taps(args); ++tap) {
      target[(c / kBlock * taps(args) + tap) * kBlock + c % kBlock] = *source++;
    }
  }
}

// P pixels from ox on, channels from c on.
template <int P>
void pixels(const StepArgs& args, std::int64_t row, std::int64_t ox, std::int64_t c) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Window& w = p.window;
  const std::int64_t n = row / out.h, oy = row % out.h;
  const auto* weights = static_cast<const float*>(p.weights) + c * taps(args);
  float32x4_t low[P], high[P];
  for (int i = 0; i < P; ++i) low[i] = vld1q_f32(p.bias + c), high[i] = vld1q_f32(p.bias + c + 4);
  for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
    const std::int64_t y = oy * w.stride_h - w.pad_top + ky * w.dilation_h;
    for (std::int64_t kx = 0; kx < w.kernel_w; ++kx, weights += kBlock) {
      const auto* x = in.at<float>(n, y, ox * w.stride_w - w.pad_left + kx * w.dilation_w, c);
      const float32x4_t w0 = vld1q_f32(weights), w1 = vld1q_f32(weights + 4);
#pragma GCC unroll 4
      for (int i = 0; i < P; ++i, x += w.stride_w * in.stride_w) {
        low[i] = vfmaq_f32(low[i], vld1q_f32(x), w0), high[i] = vfmaq_f32(high[i], vld1q_f32(x + 4), w1);
      }
    }
  }
  const float32x4_t lo = vdupq_n_f32(p.lo), hi = vdupq_n_f32(p.hi);
  for (int i = 0; i < P; ++i) {  // (fmax and fmin keep a NaN)
    auto* target = reinterpret_cast<std::byte*>(out.at<float>(n, oy, ox + i, c));
    neon::store_floats(vminq_f32(vmaxq_f32(low[i], lo), hi), out.c - c, target);
    if (out.c - c > 4) neon::store_floats(vminq_f32(vmaxq_f32(high[i], lo), hi), out.c - c - 4, target + 16);
  }
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& out = args.output;
  for (std::int64_t row = first; row < last; ++row) {
    for (std::int64_t c = 0; c < out.c; c += kBlock) {
      if (out.w < kPixels) {
        for (std::int64_t x = 0; x < out.w; ++x) pixels<1>(args, row, x, c);
        continue;
      }
      for (std::int64_t x = 0; x < out.w; x += kPixels) {
        pixels<kPixels>(args, row, x + kPixels <= out.w ? x : out.w - kPixels, c);
      }
    }
  }
}

}  // namespace

extern const Kernel depthwise_f32_neon;
const Kernel depthwise_f32_neon = {
    .op = "depthwise_f32",
    .isa = "neon",
    .refuse = accept,
    .tiles = neon::rows,
    .run = run,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .reads_halo = true,
};

}  // namespace octet::kernels
