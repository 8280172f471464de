// The multiply-accumulate of AVX-VNNI (vpdpbusd with 256-bit registers, on processors without AVX512) for vnni.h.
#pragma once

#include "kernels/cpu/avx2.h"
#include "kernels/cpu/vnni.h"

namespace octet::kernels::avxvnni {

struct Constants : avx2::Constants {
  const std::int32_t* compensation = nullptr;
};

// Flip: inputs may be negative.
template <bool Flip>
struct Traits {
  using Input = std::uint8_t;
  using Weight = std::int8_t;
  using Sum = __m256i;
  using WeightVector = __m256i;
  using Epilogue = Constants;
  static constexpr int kLanes = 8, kGroup = 4, kGroupMultiple = 1, kMaxBlocks = 2;

  static std::int64_t compensation_bytes(std::int64_t channels) { return vnni::compensation_bytes(channels); }
  static void set_compensation(void* packed, std::int64_t channel, std::int64_t weight_sum) {
    if (Flip) vnni::set_compensation(packed, channel, weight_sum);
  }
  static void flip(const std::byte* from, std::byte* to) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    _mm256_store_si256(reinterpret_cast<__m256i*>(to), _mm256_xor_si256(bytes, _mm256_set1_epi8(-128)));
  }
  static Epilogue prepare(const StepArgs& args) {
    Epilogue e;
    static_cast<avx2::Constants&>(e) = avx2::constants_of(args);
    e.compensation = static_cast<const std::int32_t*>(static_cast<const ConvParams*>(args.params)->weights);
    return e;
  }
  static std::int64_t output_size(const Epilogue& e) { return e.form == kernels::Epilogue::Form::real ? 4 : 1; }
  static __m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
  static Sum start(const Epilogue& e, std::int64_t channel) {
    return _mm256_add_epi32(load(e.bias + channel), load(e.compensation + channel));
  }
  static WeightVector load_weights(const Weight* from) { return load(from); }
  static __m256i broadcast(const std::byte* from) {
    std::int32_t four;
    std::memcpy(&four, from, 4);
    const __m256i value = _mm256_set1_epi32(four);
    return Flip ? _mm256_xor_si256(value, _mm256_set1_epi32(static_cast<int>(0x80808080u))) : value;
  }
  // As assembly, as in avx512vnni.h. {vex}: the assembler would take the AVX512 form where both exist.
  static void multiply_add(Sum& sum, __m256i x, WeightVector w) {
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(x), "x"(w));
  }
  static Sum max(Sum a, Sum b) { return _mm256_max_epi32(a, b); }
  template <int B, class Get>
  static void store_all(const Epilogue& e, Get get, std::byte* const* out, std::int64_t count, std::int64_t channel,
                        std::int64_t channels) {
    avx2::store_pixels<B>(e, get, out, count, channel, channels);
  }
  // At most 12 sums; 2 weights, an input and the flip fill the 16 registers.
  template <class Call>
  static void dispatch(std::int64_t blocks, std::int64_t length, bool pooled, Call call) {
    if (blocks == 1) {
      if (direct::best_pixels<12, 8>(length, pooled) == 12) return call(direct::Number<12>(), direct::Number<1>());
      return call(direct::Number<8>(), direct::Number<1>());
    }
    switch (direct::best_pixels<6, 5, 4>(length, pooled)) {
      case 6:
        return call(direct::Number<6>(), direct::Number<2>());
      case 5:
        return call(direct::Number<5>(), direct::Number<2>());
      default:
        return call(direct::Number<4>(), direct::Number<2>());
    }
  }
};

}  // namespace octet::kernels::avxvnni
