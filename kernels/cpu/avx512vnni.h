// The multiply-accumulate of AVX512-VNNI for direct_conv.h: shared by conv2d_s8_avx512vnni and linear_s8_avx512vnni.
#pragma once

#include "kernels/cpu/avx512.h"
#include "kernels/cpu/vnni.h"

namespace octet::kernels::avx512vnni {

// Flip: inputs may be negative.
template <bool Flip>
struct Traits {
  using Input = std::uint8_t;
  using Weight = std::int8_t;
  using Sum = __m512i;
  using WeightVector = __m512i;
  using Epilogue = avx512::Constants;
  static constexpr int kLanes = 16, kGroup = 4, kGroupMultiple = 1, kMaxBlocks = 2, kRegisters = 32;
  // 64 channels at a time: half as many broadcasts, and whole cache lines of outputs. Their weights are read again for
  // every few pixels, so they have to fit into the first cache beside the inputs.
  static constexpr std::int64_t kWideBlocks = 4, kFirstCache = 36 << 10;

  static std::int64_t compensation_bytes(std::int64_t channels) { return vnni::compensation_bytes(channels); }
  static void set_compensation(void* packed, std::int64_t channel, std::int64_t weight_sum) {
    if (Flip) vnni::set_compensation(packed, channel, weight_sum);
  }
  static void flip(const std::byte* from, std::byte* to) {
    _mm512_store_si512(to, _mm512_xor_si512(_mm512_loadu_si512(from), _mm512_set1_epi8(-128)));
  }
  static Epilogue prepare(const StepArgs& args) {
    Epilogue e = avx512::constants_of(args);
    e.compensation = static_cast<const std::int32_t*>(static_cast<const ConvParams*>(args.params)->weights);
    return e;
  }
  static std::int64_t output_size(const Epilogue& e) { return e.form == kernels::Epilogue::Form::real ? 4 : 1; }
  static Sum start(const Epilogue& e, std::int64_t channel) {
    return _mm512_add_epi32(_mm512_loadu_si512(e.bias + channel), _mm512_loadu_si512(e.compensation + channel));
  }
  static WeightVector load_weights(const Weight* from) { return _mm512_loadu_si512(from); }
  static __m512i broadcast(const std::byte* from) {
    std::int32_t four;
    std::memcpy(&four, from, 4);
    const __m512i value = _mm512_set1_epi32(four);
    return Flip ? _mm512_xor_si512(value, _mm512_set1_epi32(static_cast<int>(0x80808080u))) : value;
  }
  // As assembly: with the intrinsic, g++ 12 spills the sums to memory around every use, four times slower.
  static void multiply_add(Sum& sum, __m512i x, WeightVector w) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
  }
  static void multiply_add_memory(Sum& sum, __m512i x, const Weight* w) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "m"(*reinterpret_cast<const WeightVector*>(w)));
  }
  static Sum max(Sum a, Sum b) { return _mm512_max_epi32(a, b); }
  template <int B, class Get>
  static void store_all(const Epilogue& e, Get get, std::byte* const* out, std::int64_t count, std::int64_t channel,
                        std::int64_t channels) {
    avx512::store_pixels<B>(e, get, out, count, channel, channels);
  }
  // Pixels for each number of blocks: at most 28 sums, beside weights, an input and the flip. Widths
  // of real networks are multiples of 7.
  template <class Call>
  static void dispatch(std::int64_t blocks, std::int64_t length, bool pooled, Call call) {
    if (blocks == 4) {
      switch (direct::best_pixels<7, 6, 5, 4>(length, pooled)) {
        case 6:
          return call(direct::Number<6>(), direct::Number<4>());
        case 5:
          return call(direct::Number<5>(), direct::Number<4>());
        case 4:
          return call(direct::Number<4>(), direct::Number<4>());
        default:
          return call(direct::Number<7>(), direct::Number<4>());
      }
    }
    if (blocks == 1) {
      if (direct::best_pixels<16, 8>(length, pooled) == 8) return call(direct::Number<8>(), direct::Number<1>());
      return call(direct::Number<16>(), direct::Number<1>());
    }
    switch (direct::best_pixels<14, 12, 8, 7, 4>(length, pooled)) {
      case 14:
        return call(direct::Number<14>(), direct::Number<2>());
      case 8:
        return call(direct::Number<8>(), direct::Number<2>());
      case 7:
        return call(direct::Number<7>(), direct::Number<2>());
      case 4:
        return call(direct::Number<4>(), direct::Number<2>());
      default:
        return call(direct::Number<12>(), direct::Number<2>());
    }
  }
};

}  // namespace octet::kernels::avx512vnni
