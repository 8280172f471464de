// avg_pool_s8_neon: rule 9, sixteen channels at a time; one tile is a block of channels of one row.
#include "kernels/cpu/neon.h"
#include "kernels/cpu/window.h"
#include "kernels/reference/sliding.h"

namespace octet::kernels {
namespace {

constexpr std::int64_t kVector = 16;
constexpr std::int64_t kBlock = 64;  // channels of a tile

std::int64_t blocks(const StepArgs& args) { return (args.output.c + kBlock - 1) / kBlock; }
std::int64_t tiles(const StepArgs& args) { return neon::rows(args) * blocks(args); }

template <bool Unsigned>
void run_pixel(const StepArgs& args, std::int64_t n, std::int64_t oy, std::int64_t ox, std::int64_t from,
               std::int64_t to) {
  const View& in = args.inputs[0];
  const auto& p = *static_cast<const PoolParams*>(args.params);
  const Window& w = p.window;
  const std::int64_t y = oy * w.stride_h - w.pad_top, x = ox * w.stride_w - w.pad_left;
  const window::Taps ys = window::inside(y, w.kernel_h, w.dilation_h, in.h);
  const window::Taps xs = window::inside(x, w.kernel_w, w.dilation_w, in.w);
  const auto summed = static_cast<std::int32_t>((ys.last - ys.first) * (xs.last - xs.first));
  const std::int32_t counted = p.count_include_pad ? reference::count_with_padding(in, w, oy, ox) : summed;
  const float32x4_t m = vdupq_n_f32(p.multiplier[counted - 1]);
  const float32x4_t lo = vdupq_n_f32(static_cast<float>(p.lo - p.zero_out));
  const float32x4_t hi = vdupq_n_f32(static_cast<float>(p.hi - p.zero_out));
  for (std::int64_t c = from; c < to; c += kVector) {
    int32x4_t sums[4], q[4];
    for (int32x4_t& s : sums) s = vdupq_n_s32(-summed * p.zero_in);
    for (std::int64_t ky = ys.first; ky < ys.last; ++ky) {
      for (std::int64_t kx = xs.first; kx < xs.last; ++kx) {
        neon::widen<Unsigned>(in.at<std::byte>(n, y + ky * w.dilation_h, x + kx * w.dilation_w, c), q);
        for (int i = 0; i < 4; ++i) sums[i] = vaddq_s32(sums[i], q[i]);
      }
    }
    for (int i = 0; i < 4; ++i) {
      q[i] = neon::quantise(vmulq_f32(vcvtq_f32_s32(sums[i]), m), lo, hi, vdupq_n_s32(p.zero_out));
    }
    neon::store_bytes(neon::low_bytes(q), to - c, args.output.at<std::byte>(n, oy, ox, c));
  }
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& out = args.output;
  const auto pixel = args.inputs[0].type == DType::u8 ? run_pixel<true> : run_pixel<false>;
  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t row = tile / blocks(args), from = tile % blocks(args) * kBlock;
    const std::int64_t to = from + kBlock < out.c ? from + kBlock : out.c;
    for (std::int64_t ox = 0; ox < out.w; ++ox) pixel(args, row / out.h, row % out.h, ox, from, to);
  }
}

}  // namespace

extern const Kernel avg_pool_s8_neon;
const Kernel avg_pool_s8_neon = {.op = "avg_pool_s8", .isa = "neon", .refuse = accept, .tiles = tiles, .run = run};

}  // namespace octet::kernels
