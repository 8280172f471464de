// The multiply-accumulate of ARMv8.6's matrix instructions: shared by conv2d_s8_neon_i8mm and linear_s8_neon_i8mm.
// smmla multiplies 2 pixels x 8 inputs with 8 inputs x 2 channels, twice the work of sdot; usmmla does so for u8
// inputs, so nothing is flipped. A sum therefore belongs to two pixels, and direct_conv.h's micro-kernel gets a
// sibling:
//
//     inputs   [p0 k0..k7 | p1 k0..k7]      weights  [c0 k0..k7 | c1 k0..k7]  [c2 k0..k7 | c3 k0..k7]
//     sums     first [p0c0 p0c1 p1c0 p1c1]  second [p0c2 p0c3 p1c2 p1c3]
#pragma once

#include "kernels/cpu/direct_conv.h"
#include "kernels/cpu/neon.h"

namespace octet::kernels::neon {

// Unsigned: inputs are u8.
template <bool Unsigned>
struct MatrixTraits : IntegerTraits<false> {
  static constexpr bool kTwoPixels = true;
  struct Pair {
    int32x4_t first, second;
  };
  struct WeightVector {
    int8x16_t first, second;
  };
  static constexpr int kGroup = 8, kMaxBlocks = 3;

  static Pair start_pair(const Constants& e, std::int64_t channel) {
    const int64x2_t four = vreinterpretq_s64_s32(start(e, channel));
    return {vreinterpretq_s32_s64(vdupq_laneq_s64(four, 0)), vreinterpretq_s32_s64(vdupq_laneq_s64(four, 1))};
  }
  static WeightVector load_weights(const std::int8_t* from) { return {vld1q_s8(from), vld1q_s8(from + 16)}; }
  static int8x16_t load_pixels(const std::byte* p0, const std::byte* p1) {
    return vcombine_s8(vld1_s8(reinterpret_cast<const std::int8_t*>(p0)),
                       vld1_s8(reinterpret_cast<const std::int8_t*>(p1)));
  }
  static void multiply_add(Pair& sum, int8x16_t x, WeightVector w) {
    if constexpr (Unsigned) {
      sum.first = vusmmlaq_s32(sum.first, vreinterpretq_u8_s8(x), w.first);
      sum.second = vusmmlaq_s32(sum.second, vreinterpretq_u8_s8(x), w.second);
    } else {
      sum.first = vmmlaq_s32(sum.first, x, w.first);
      sum.second = vmmlaq_s32(sum.second, x, w.second);
    }
  }
  static int32x4_t channels_of(const Pair& sum, bool second_pixel) {
    const int64x2_t a = vreinterpretq_s64_s32(sum.first), b = vreinterpretq_s64_s32(sum.second);
    return vreinterpretq_s32_s64(second_pixel ? vzip2q_s64(a, b) : vzip1q_s64(a, b));
  }
  // 24 sums (two a pair of pixels and block), 6 weights and one input: 31 of 32 registers.
  template <class Call>
  static void dispatch(std::int64_t blocks, Call call) {
    switch (blocks) {
      case 1:
        return call(direct::Number<16>(), direct::Number<1>());
      case 2:
        return call(direct::Number<12>(), direct::Number<2>());
      default:
        return call(direct::Number<8>(), direct::Number<3>());
    }
  }
};

[[maybe_unused]] static inline bool is_unsigned(const StepArgs& args) { return args.inputs[0].type == DType::u8; }

}  // namespace octet::kernels::neon

namespace octet::kernels::direct {

// micro() for such Traits. A lone pixel is its own neighbour.
template <class Traits, int P, int B, bool Pool>
requires(Traits::kTwoPixels)
    __attribute__((noinline)) static void micro(const Geometry& g, const std::byte* input,
                                                const typename Traits::Weight* weights, std::int64_t block_stride,
                                                const typename Traits::Epilogue& epilogue, std::int64_t channel,
                                                std::int64_t channels, const Target& target, std::int64_t x) {
  constexpr int kPairs = (P + 1) / 2;
  typename Traits::Pair sums[kPairs][B];
#pragma GCC unroll 4
  for (int b = 0; b < B; ++b) {
    const auto start = Traits::start_pair(epilogue, channel + b * Traits::kLanes);
#pragma GCC unroll 16
    for (int p = 0; p < kPairs; ++p) sums[p][b] = start;
  }
  for (std::int64_t row = 0; row < g.run_rows; ++row) {
    for (std::int64_t tap = 0; tap < g.run_taps; ++tap) {
      const std::byte* run = input + row * g.row_step + tap * g.tap_step;
      for (std::int64_t group = 0; group < g.groups; ++group) {
        typename Traits::WeightVector w[B];
#pragma GCC unroll 4
        for (int b = 0; b < B; ++b) w[b] = Traits::load_weights(weights + b * block_stride);
#pragma GCC unroll 16
        for (int p = 0; p < kPairs; ++p) {
          const auto value = Traits::load_pixels(run + offset_of<P, Pool>(g, 2 * p),
                                                 run + offset_of<P, Pool>(g, P == 1 ? 0 : 2 * p + 1));
#pragma GCC unroll 4
          for (int b = 0; b < B; ++b) Traits::multiply_add(sums[p][b], value, w[b]);
        }
        run += Traits::kGroup;
        weights += Traits::kLanes * Traits::kGroup;
      }
    }
  }
  typename Traits::Sum done[P][B];
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int b = 0; b < B; ++b) done[p][b] = Traits::channels_of(sums[p / 2][b], p % 2 != 0);
  }
  store_sums<Traits, P, B, Pool>(done, epilogue, channel, channels, target, x);
}

}  // namespace octet::kernels::direct
