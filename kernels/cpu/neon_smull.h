// The multiply-accumulate of ARMv8.0 for direct_conv.h: shared by conv2d_s8_neon and linear_s8_neon.
//
// smull and smlal add two products of bytes to 16 bits; with |w| <= 127 (QGraph::validate) and |x| <= 128 they are at
// most 32,512: exact. sadalp adds neighbours to 32 bits. So a vector of 16 weights holds pairs of K, not rows of four:
//
//     packed by direct_conv.h   c0k0 c0k1 c0k2 c0k3 | c1k0 .. c1k3 | c2k0 .. c2k3 | c3k0 .. c3k3
//     as pack() leaves it       c0k0 c0k1 c1k0 c1k1 c2k0 c2k1 c3k0 c3k1 | c0k2 c0k3 c1k2 c1k3 c2k2 c2k3 c3k2 c3k3
#pragma once

#include "kernels/cpu/direct_conv.h"
#include "kernels/cpu/neon.h"

namespace octet::kernels::neon {

template <bool Flip>
struct SmullTraits : IntegerTraits<Flip> {
  struct WeightVector {
    int8x8_t first, second;
  };
  static constexpr int kGroup = 4, kMaxBlocks = 4;

  static WeightVector load_weights(const std::int8_t* from) { return {vld1_s8(from), vld1_s8(from + 8)}; }
  static int8x8_t broadcast_two(const std::byte* from) {
    std::uint16_t two;
    std::memcpy(&two, from, 2);
    const uint16x4_t value = vdup_n_u16(two);
    return vreinterpret_s8_u16(Flip ? veor_u16(value, vdup_n_u16(0x8080u)) : value);
  }
  static WeightVector broadcast(const std::byte* from) { return {broadcast_two(from), broadcast_two(from + 2)}; }
  static void multiply_add(int32x4_t& sum, WeightVector x, WeightVector w) {
    sum = vpadalq_s16(sum, vmlal_s8(vmull_s8(x.first, w.first), x.second, w.second));
  }
  // 20 sums, 8 halves of weights, 2 of inputs and a product: 31 of 32 registers.
  template <class Call>
  static void dispatch(std::int64_t blocks, Call call) {
    switch (blocks) {
      case 1:
        return call(direct::Number<16>(), direct::Number<1>());
      case 2:
        return call(direct::Number<10>(), direct::Number<2>());
      case 3:
        return call(direct::Number<6>(), direct::Number<3>());
      default:
        return call(direct::Number<5>(), direct::Number<4>());
    }
  }
};

// Rows of four become pairs, as drawn above.
template <bool Flip>
[[maybe_unused]] static void pack_pairs(const StepArgs& args, const void* source, void* packed) {
  using Traits = SmullTraits<Flip>;
  direct::pack<Traits>(args, source, packed);
  auto* group =
      static_cast<std::int8_t*>(packed) + Traits::compensation_bytes(direct::blocks<Traits>(args) * Traits::kLanes);
  const auto* end = static_cast<std::int8_t*>(packed) + direct::packed_bytes<Traits>(args);
  for (; group != end; group += 16) {
    std::int8_t rows[16];
    std::memcpy(rows, group, 16);
    for (int i = 0; i < 16; ++i) group[i % 4 / 2 * 8 + i / 4 * 2 + i % 2] = rows[i];
  }
}

}  // namespace octet::kernels::neon
