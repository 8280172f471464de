// The multiply-accumulate of ARMv8.2's dot products for direct_conv.h: shared by conv2d_s8_neon_dotprod and
// linear_s8_neon_dotprod. sdot adds four products of signed bytes to each 32-bit sum, without saturating.
#pragma once

#include "kernels/cpu/direct_conv.h"
#include "kernels/cpu/neon.h"

namespace octet::kernels::neon {

template <bool Flip>
struct DotTraits : IntegerTraits<Flip> {
  using WeightVector = int8x16_t;
  static constexpr int kGroup = 4, kMaxBlocks = 4;

  static WeightVector load_weights(const std::int8_t* from) { return vld1q_s8(from); }
  static int8x16_t broadcast(const std::byte* from) { return broadcast_four<Flip>(from); }
  static void multiply_add(int32x4_t& sum, int8x16_t x, WeightVector w) { sum = vdotq_s32(sum, w, x); }
  // 24 sums, 4 weights, an input and the flip: 30 of 32 registers.
  template <class Call>
  static void dispatch(std::int64_t blocks, Call call) {
    switch (blocks) {
      case 1:
        return call(direct::Number<16>(), direct::Number<1>());
      case 2:
        return call(direct::Number<12>(), direct::Number<2>());
      case 3:
        return call(direct::Number<8>(), direct::Number<3>());
      default:
        return call(direct::Number<6>(), direct::Number<4>());
    }
  }
};

}  // namespace octet::kernels::neon
