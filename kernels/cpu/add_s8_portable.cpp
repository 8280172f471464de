// add_s8_portable: rules 10 and 11 along the channels of one pixel, in blocks that stay in registers and cache.
#include "kernels/cpu/portable.h"

namespace octet::kernels {
namespace {

constexpr std::int64_t kBlock = 64;

// sums = or += (q - zero) * m: each product is exact, each addition rounds once, left to right.
template <class T>
void first_term(const std::byte* from, std::int32_t zero, float m, float* __restrict sums, std::int64_t count) {
  const T* __restrict q = reinterpret_cast<const T*>(from);
  for (std::int64_t i = 0; i < count; ++i) sums[i] = static_cast<float>(q[i] - zero) * m;
}
template <class T>
void next_term(const std::byte* from, std::int32_t zero, float m, float* __restrict sums, std::int64_t count) {
  const T* __restrict q = reinterpret_cast<const T*>(from);
  for (std::int64_t i = 0; i < count; ++i) sums[i] += static_cast<float>(q[i] - zero) * m;
}

void run_pixel(const StepArgs& args, std::int64_t n, std::int64_t y, std::int64_t x) {
  const View& out = args.output;
  const auto& p = *static_cast<const AddParams*>(args.params);
  const auto lo = static_cast<float>(p.lo - p.zero_out), hi = static_cast<float>(p.hi - p.zero_out);
  float sums[kBlock];
  for (std::int64_t c = 0; c < out.c; c += kBlock) {
    const std::int64_t count = out.c - c < kBlock ? out.c - c : kBlock;
    for (std::int32_t i = 0; i < args.input_count; ++i) {
      const View& in = args.inputs[i];
      const bool is_unsigned = in.type == DType::u8;
      const auto term = i == 0 ? (is_unsigned ? first_term<std::uint8_t> : first_term<std::int8_t>)
                               : (is_unsigned ? next_term<std::uint8_t> : next_term<std::int8_t>);
      term(portable::pixel(in, n, y, x, c), p.zero_in[i], p.multiplier[i], sums, count);
    }
    auto* target = out.at<std::uint8_t>(n, y, x, c);
    for (std::int64_t i = 0; i < count; ++i) {
      target[i] = static_cast<std::uint8_t>(arithmetic::round_even(arithmetic::clamp(sums[i], lo, hi)) + p.zero_out);
    }
  }
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  for (std::int64_t row = first; row < last; ++row) {
    for (std::int64_t x = 0; x < args.output.w; ++x) run_pixel(args, row / args.output.h, row % args.output.h, x);
  }
}

}  // namespace

extern const Kernel add_s8_portable;
const Kernel add_s8_portable = {
    .op = "add_s8", .isa = "portable", .refuse = accept, .tiles = portable::rows, .run = run};

}  // namespace octet::kernels
