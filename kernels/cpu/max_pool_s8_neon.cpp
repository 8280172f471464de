// max_pool_s8_neon: the maximum of each window, sixteen channels at a time.
#include "kernels/cpu/neon.h"
#include "kernels/cpu/window.h"

namespace octet::kernels {
namespace {

constexpr std::int64_t kBlock = 16;

// Signed bytes are ordered as unsigned ones once their top bit is flipped.
template <bool Unsigned>
inline uint8x16_t ordered(uint8x16_t bytes) {
  return Unsigned ? bytes : veorq_u8(bytes, vdupq_n_u8(0x80));
}

template <bool Unsigned>
void run_rows(const StepArgs& args, std::int64_t first, std::int64_t last) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const Window& w = static_cast<const PoolParams*>(args.params)->window;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, y = row % out.h * w.stride_h - w.pad_top;
    const window::Taps ys = window::inside(y, w.kernel_h, w.dilation_h, in.h);
    for (std::int64_t ox = 0; ox < out.w; ++ox) {
      const std::int64_t x = ox * w.stride_w - w.pad_left;
      const window::Taps xs = window::inside(x, w.kernel_w, w.dilation_w, in.w);
      for (std::int64_t c = 0; c < out.c; c += kBlock) {
        uint8x16_t best = vdupq_n_u8(0);
        for (std::int64_t ky = ys.first; ky < ys.last; ++ky) {
          const auto* from = in.at<std::uint8_t>(n, y + ky * w.dilation_h, x + xs.first * w.dilation_w, c);
          for (std::int64_t kx = xs.first; kx < xs.last; ++kx, from += w.dilation_w * in.stride_w) {
            best = vmaxq_u8(best, ordered<Unsigned>(vld1q_u8(from)));
          }
        }
        neon::store_bytes(ordered<Unsigned>(best), out.c - c, out.at<std::byte>(n, row % out.h, ox, c));
      }
    }
  }
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  (args.inputs[0].type == DType::u8 ? run_rows<true> : run_rows<false>)(args, first, last);
}

}  // namespace

extern const Kernel max_pool_s8_neon;
const Kernel max_pool_s8_neon = {.op = "max_pool_s8", .isa = "neon", .refuse = accept, .tiles = neon::rows, .run = run};

}  // namespace octet::kernels
