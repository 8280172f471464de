// add_s8_neon: rules 10 and 11, sixteen channels at a time. Each product (q - zero) * M is exact; each addition rounds
// once, left to right.
#include "kernels/cpu/neon.h"

namespace octet::kernels {
namespace {

constexpr std::int64_t kBlock = 16;

void run_pixel(const StepArgs& args, std::int64_t n, std::int64_t y, std::int64_t x) {
  const View& out = args.output;
  const auto& p = *static_cast<const AddParams*>(args.params);
  const float32x4_t lo = vdupq_n_f32(static_cast<float>(p.lo - p.zero_out));
  const float32x4_t hi = vdupq_n_f32(static_cast<float>(p.hi - p.zero_out));
  for (std::int64_t c = 0; c < out.c; c += kBlock) {
    float32x4_t sums[4] = {};
    int32x4_t q[4];
    for (std::int32_t k = 0; k < args.input_count; ++k) {
      const View& in = args.inputs[k];
      const auto* from = in.at<std::byte>(n, y, x, c);
      in.type == DType::u8 ? neon::widen<true>(from, q) : neon::widen<false>(from, q);
      const int32x4_t zero = vdupq_n_s32(p.zero_in[k]);
      for (int i = 0; i < 4; ++i) {
        const float32x4_t term = vmulq_n_f32(vcvtq_f32_s32(vsubq_s32(q[i], zero)), p.multiplier[k]);
        sums[i] = k == 0 ? term : vaddq_f32(sums[i], term);
      }
    }
    for (int i = 0; i < 4; ++i) q[i] = neon::quantise(sums[i], lo, hi, vdupq_n_s32(p.zero_out));
    neon::store_bytes(neon::low_bytes(q), out.c - c, out.at<std::byte>(n, y, x, c));
  }
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& out = args.output;
  for (std::int64_t row = first; row < last; ++row) {
    for (std::int64_t x = 0; x < out.w; ++x) run_pixel(args, row / out.h, row % out.h, x);
  }
}

}  // namespace

extern const Kernel add_s8_neon;
const Kernel add_s8_neon = {.op = "add_s8", .isa = "neon", .refuse = accept, .tiles = neon::rows, .run = run};

}  // namespace octet::kernels
