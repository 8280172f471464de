// What the NEON kernels share: the requantising epilogue, exactly rule 7 four channels at a time, and the parts of
// direct_conv.h's Traits that do not depend on how products are added up.
#pragma once

#include <arm_neon.h>

#include <cstring>

#include "kernels/kernel.h"

namespace octet::kernels::neon {

// The epilogue's constants in registers.
struct Constants {
  Epilogue::Form form = Epilogue::Form::one_multiply;
  const std::int32_t* bias = nullptr;
  const float* multiplier = nullptr;
  const std::int32_t* compensation = nullptr;  // what flipping the input took off the sums; one a channel
  float32x4_t lo, hi;
  int32x4_t zero;
};

[[maybe_unused]] static inline Constants constants_of(const StepArgs& args) {
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Epilogue& e = p.epilogue;
  Constants c;
  c.form = e.form;
  c.bias = e.bias;
  c.multiplier = e.multiplier;
  c.compensation = static_cast<const std::int32_t*>(p.weights);
  c.lo = vdupq_n_f32(static_cast<float>(e.lo - e.zero));
  c.hi = vdupq_n_f32(static_cast<float>(e.hi - e.zero));
  c.zero = vdupq_n_s32(e.zero);
  return c;
}

// Clamp, round to nearest even (fcvtns rounds so whatever FPCR says), + zero.
[[maybe_unused]] static inline int32x4_t quantise(float32x4_t value, float32x4_t lo, float32x4_t hi, int32x4_t zero) {
  return vaddq_s32(vcvtnq_s32_f32(vminq_f32(vmaxq_f32(value, lo), hi)), zero);
}

// The low byte of each of sixteen integers.
[[maybe_unused]] static inline uint8x16_t low_bytes(const int32x4_t (&q)[4]) {
  const uint8x16_t a = vreinterpretq_u8_s32(q[0]), b = vreinterpretq_u8_s32(q[1]);
  const uint8x16_t c = vreinterpretq_u8_s32(q[2]), d = vreinterpretq_u8_s32(q[3]);
  const uint16x8_t ab = vreinterpretq_u16_u8(vuzp1q_u8(a, b)), cd = vreinterpretq_u16_u8(vuzp1q_u8(c, d));
  return vuzp1q_u8(vreinterpretq_u8_u16(ab), vreinterpretq_u8_u16(cd));
}

[[maybe_unused]] static inline void store_floats(float32x4_t values, std::int64_t count, std::byte* out) {
  if (count >= 4) {
    vst1q_f32(reinterpret_cast<float*>(out), values);
    return;
  }
  float all[4];
  vst1q_f32(all, values);
  std::memcpy(out, all, static_cast<std::size_t>(count) * sizeof(float));
}

// Sixteen bytes of an activation as integers.
template <bool Unsigned>
[[maybe_unused]] static inline void widen(const std::byte* from, int32x4_t (&q)[4]) {
  const uint8x16_t bytes = vld1q_u8(reinterpret_cast<const std::uint8_t*>(from));
  int16x8_t low, high;
  if constexpr (Unsigned) {
    low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes)));
    high = vreinterpretq_s16_u16(vmovl_high_u8(bytes));
  } else {
    low = vmovl_s8(vget_low_s8(vreinterpretq_s8_u8(bytes)));
    high = vmovl_high_s8(vreinterpretq_s8_u8(bytes));
  }
  q[0] = vmovl_s16(vget_low_s16(low)), q[1] = vmovl_high_s16(low);
  q[2] = vmovl_s16(vget_low_s16(high)), q[3] = vmovl_high_s16(high);
}

// `count` of sixteen bytes.
[[maybe_unused]] static inline void store_bytes(uint8x16_t values, std::int64_t count, std::byte* out) {
  if (count >= 16) {
    vst1q_u8(reinterpret_cast<std::uint8_t*>(out), values);
    return;
  }
  std::uint8_t all[16];
  vst1q_u8(all, values);
  std::memcpy(out, all, static_cast<std::size_t>(count));
}

// fl(acc), * m, then quantise(): four channels, `count` of which are stored.
[[maybe_unused]] static inline void store(const Constants& c, float32x4_t multiplier, int32x4_t accumulator,
                                          std::int64_t count, std::byte* out) {
  const float32x4_t product = vmulq_f32(vcvtq_f32_s32(accumulator), multiplier);
  if (c.form == Epilogue::Form::real) return store_floats(product, count, out);
  const int16x4_t narrow = vmovn_s32(quantise(product, c.lo, c.hi, c.zero));
  const int8x8_t bytes = vmovn_s16(vcombine_s16(narrow, narrow));
  const std::uint32_t four = vget_lane_u32(vreinterpret_u32_s8(bytes), 0);
  std::memcpy(out, &four, count >= 4 ? 4 : static_cast<std::size_t>(count));
}

// Sixteen channels of an integer layer, from their sums to what is stored.
[[maybe_unused]] static inline void store_sixteen(const Constants& c, const float* multiplier,
                                                  const int32x4_t (&sums)[4], std::int64_t count, std::byte* out) {
  int32x4_t q[4];
  for (int i = 0; i < 4; ++i) {
    const float32x4_t product = vmulq_f32(vcvtq_f32_s32(sums[i]), vld1q_f32(multiplier + 4 * i));
    if (c.form == Epilogue::Form::real) {
      if (4 * i < count) store_floats(product, count - 4 * i, out + 16 * i);
    } else {
      q[i] = quantise(product, c.lo, c.hi, c.zero);
    }
  }
  if (c.form != Epilogue::Form::real) store_bytes(low_bytes(q), count, out);
}

[[maybe_unused]] static std::int64_t rows(const StepArgs& args) { return std::int64_t{args.output.n} * args.output.h; }

// Four bytes of an activation, four times. `Flip` turns u8 into s8 by subtracting 128.
template <bool Flip>
[[maybe_unused]] static inline int8x16_t broadcast_four(const std::byte* from) {
  std::uint32_t four;
  std::memcpy(&four, from, 4);
  uint32x4_t value = vdupq_n_u32(four);
  if constexpr (Flip) {
    asm("" : "+w"(value));  // else g++ flips in a general register and copies that: a load + dup would be one ld1r
    value = veorq_u32(value, vdupq_n_u32(0x80808080u));
  }
  return vreinterpretq_s8_u32(value);
}

// Integer Traits without load_weights(), broadcast(), multiply_add() and dispatch(). The instructions multiply signed
// bytes: with `Flip`, inputs that may exceed 127 are read as q - 128, and 128 * sum(w) is added where the sums start
// (rule 5 lets both wrap). The head of the packed weights holds that compensation, 0 without Flip.
template <bool Flip>
struct IntegerTraits {
  using Input = std::uint8_t;
  using Weight = std::int8_t;
  using Sum = int32x4_t;
  using Epilogue = Constants;
  static constexpr int kLanes = 4, kGroupMultiple = 1;

  static std::int64_t compensation_bytes(std::int64_t channels) { return (channels * 4 + 63) / 64 * 64; }
  static void set_compensation(void* packed, std::int64_t channel, std::int64_t weight_sum) {
    if (Flip) static_cast<std::int32_t*>(packed)[channel] = static_cast<std::int32_t>(128 * weight_sum);
  }
  static Epilogue prepare(const StepArgs& args) { return constants_of(args); }
  static std::int64_t output_size(const Epilogue& e) { return e.form == kernels::Epilogue::Form::real ? 4 : 1; }
  static Sum start(const Epilogue& e, std::int64_t channel) {
    return vaddq_s32(vld1q_s32(e.bias + channel), vld1q_s32(e.compensation + channel));
  }
  static float32x4_t constants(const Epilogue& e, std::int64_t channel) { return vld1q_f32(e.multiplier + channel); }
  static Sum max(Sum a, Sum b) { return vmaxq_s32(a, b); }
  static void store(const Epilogue& e, float32x4_t multiplier, Sum sum, std::int64_t count, std::byte* out) {
    neon::store(e, multiplier, sum, count, out);
  }
};

// Whether inputs may exceed 127: they are u8 and nothing bounds them.
[[maybe_unused]] static inline bool flips(const StepArgs& args) {
  return args.inputs[0].type == DType::u8 && !static_cast<const ConvParams*>(args.params)->seven_bits;
}

}  // namespace octet::kernels::neon
