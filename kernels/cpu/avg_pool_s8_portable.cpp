// avg_pool_s8_portable: rule 9 with all channels of a pixel side by side; one tile is a block of channels of one row.
#include "kernels/cpu/portable.h"
#include "kernels/reference/sliding.h"

namespace octet::kernels {
namespace {

constexpr std::int64_t kBlock = 64;

std::int64_t blocks(const StepArgs& args) { return (args.output.c + kBlock - 1) / kBlock; }
std::int64_t tiles(const StepArgs& args) { return portable::rows(args) * blocks(args); }

template <class T>
void accumulate(const T* __restrict x, std::int32_t* __restrict sums, std::int64_t count) {
  for (std::int64_t c = 0; c < count; ++c) sums[c] += x[c];
}

template <class T>
void run_pixel(const StepArgs& args, std::int64_t n, std::int64_t oy, std::int64_t ox, std::int64_t c) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto& p = *static_cast<const PoolParams*>(args.params);
  const Window& w = p.window;
  const std::int64_t count = out.c - c < kBlock ? out.c - c : kBlock;
  const std::int64_t y = oy * w.stride_h - w.pad_top, x = ox * w.stride_w - w.pad_left;
  const portable::Taps ys = portable::inside(y, w.kernel_h, w.dilation_h, in.h);
  const portable::Taps xs = portable::inside(x, w.kernel_w, w.dilation_w, in.w);
  std::int32_t sums[kBlock] = {};
  for (std::int64_t ky = ys.first; ky < ys.last; ++ky) {
    for (std::int64_t kx = xs.first; kx < xs.last; ++kx) {
      accumulate(in.at<T>(n, y + ky * w.dilation_h, x + kx * w.dilation_w, c), sums, count);
    }
  }
  const auto summed = static_cast<std::int32_t>((ys.last - ys.first) * (xs.last - xs.first));
  const std::int32_t counted = p.count_include_pad ? reference::count_with_padding(in, w, oy, ox) : summed;
  const float m = p.multiplier[counted - 1];
  auto* target = out.at<std::uint8_t>(n, oy, ox, c);
  for (std::int64_t i = 0; i < count; ++i) {
    target[i] =
        static_cast<std::uint8_t>(arithmetic::requantise(sums[i] - summed * p.zero_in, m, p.lo, p.hi, p.zero_out));
  }
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const bool is_unsigned = args.inputs[0].type == DType::u8;
  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t row = tile / blocks(args), c = tile % blocks(args) * kBlock;
    const std::int64_t n = row / args.output.h, oy = row % args.output.h;
    for (std::int64_t ox = 0; ox < args.output.w; ++ox) {
      (is_unsigned ? run_pixel<std::uint8_t> : run_pixel<std::int8_t>)(args, n, oy, ox, c);
    }
  }
}

}  // namespace

extern const Kernel avg_pool_s8_portable;
const Kernel avg_pool_s8_portable = {
    .op = "avg_pool_s8", .isa = "portable", .refuse = accept, .tiles = tiles, .run = run};

}  // namespace octet::kernels
