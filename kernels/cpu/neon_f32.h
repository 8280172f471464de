// The float multiply-accumulate of NEON for direct_conv.h: shared by conv2d_f32_neon and linear_f32_neon.
#pragma once

#include "kernels/cpu/direct_conv.h"
#include "kernels/cpu/neon.h"

namespace octet::kernels::neon {

struct RealConstants {
  const float* bias;
  float32x4_t lo, hi;
};

struct RealTraits {
  using Input = float;
  using Weight = float;
  using Sum = float32x4_t;
  using WeightVector = float32x4_t;
  using Epilogue = RealConstants;
  static constexpr int kLanes = 4, kGroup = 1, kGroupMultiple = 1, kMaxBlocks = 4;

  static std::int64_t compensation_bytes(std::int64_t) { return 0; }
  static void set_compensation(void*, std::int64_t, std::int64_t) {}
  static Epilogue prepare(const StepArgs& args) {
    const auto& p = *static_cast<const ConvParams*>(args.params);
    return {p.bias, vdupq_n_f32(p.lo), vdupq_n_f32(p.hi)};
  }
  static std::int64_t output_size(const Epilogue&) { return 4; }
  static Sum start(const Epilogue& e, std::int64_t channel) { return vld1q_f32(e.bias + channel); }
  static WeightVector load_weights(const float* from) { return vld1q_f32(from); }
  static float32x4_t broadcast(const std::byte* from) { return vld1q_dup_f32(reinterpret_cast<const float*>(from)); }
  static void multiply_add(Sum& sum, float32x4_t x, WeightVector w) { sum = vfmaq_f32(sum, x, w); }
  static int constants(const Epilogue&, std::int64_t) { return 0; }
  // fmax and fmin give a NaN when either operand is one, so that none is lost.
  static Sum max(Sum a, Sum b) { return vmaxq_f32(a, b); }
  static void store(const Epilogue& e, int, Sum sum, std::int64_t count, std::byte* out) {
    store_floats(vminq_f32(vmaxq_f32(sum, e.lo), e.hi), count, out);
  }
  // 24 sums, 4 weights and an input: 29 of 32 registers.
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
