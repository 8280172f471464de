// depthwise_s8_portable: sums of all channels of one output pixel side by side, one tap of the window after another.
//
// Packed weights, int16: [kh * kw][C], so that a tap's weights lie in the order of the pixel's channels.
#include "kernels/cpu/portable.h"

namespace octet::kernels {
namespace {

constexpr std::int64_t kBlock = 64;  // channels at once: 64 int32 sums stay in the first-level cache

std::size_t packed_bytes(const StepArgs& args) {
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  return static_cast<std::size_t>(w.kernel_h) * w.kernel_w * args.output.c * sizeof(std::int16_t);
}

void pack(const StepArgs& args, const void* weights, void* packed) {
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  const std::int64_t taps = std::int64_t{w.kernel_h} * w.kernel_w;
  const auto* source = static_cast<const std::int8_t*>(weights);
  auto* target = static_cast<std::int16_t*>(packed);
  for (std::int64_t c = 0; c < args.output.c; ++c) {
    for (std::int64_t tap = 0; tap < taps; ++tap) target[tap * args.output.c + c] = *source++;
  }
}

template <class T>
void accumulate(const T* __restrict x, const std::int16_t* __restrict w, std::int32_t* __restrict sums,
                std::int64_t count) {
  for (std::int64_t c = 0; c < count; ++c) sums[c] += static_cast<std::int16_t>(x[c]) * w[c];
}

template <class T>
void run_rows(const StepArgs& args, std::int64_t first, std::int64_t last) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Window& w = p.window;
  const auto* weights = static_cast<const std::int16_t*>(p.weights);
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, oy = row % out.h;
    for (std::int64_t ox = 0; ox < out.w; ++ox) {
      for (std::int64_t c = 0; c < out.c; c += kBlock) {
        const std::int64_t count = out.c - c < kBlock ? out.c - c : kBlock;
        std::int32_t sums[kBlock] = {};
        for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
          const std::int64_t y = oy * w.stride_h - w.pad_top + ky * w.dilation_h;
          for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
            const std::int64_t x = ox * w.stride_w - w.pad_left + kx * w.dilation_w;
            accumulate(in.at<T>(n, y, x, c), weights + (ky * w.kernel_w + kx) * out.c + c, sums, count);
          }
        }
        portable::store_channels(p.epilogue, out.type, portable::pixel(out, n, oy, ox, c), c, count, sums);
      }
    }
  }
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const bool is_unsigned = args.inputs[0].type == DType::u8;
  (is_unsigned ? run_rows<std::uint8_t> : run_rows<std::int8_t>)(args, first, last);
}

}  // namespace

extern const Kernel depthwise_s8_portable;
const Kernel depthwise_s8_portable = {
    .op = "depthwise_s8",
    .isa = "portable",
    .refuse = accept,
    .tiles = portable::rows,
    .run = run,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .reads_halo = true,
};

}  // namespace octet::kernels
