// One AVX2 register's worth of floats or bytes: see lanes_avx512.h.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace octet::kernels::avx2 {
namespace {

struct Lanes {
  using Float = __m256;
  using Int = __m256i;
  using Bytes = __m256i;
  static constexpr int kFloats = 8, kBytes = 32;
  static constexpr int kSums = 12;

  static __m256i first(std::int64_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }

  static Float set(float value) { return _mm256_set1_ps(value); }
  static Float load(const float* from) { return _mm256_loadu_ps(from); }
  static Float load(const float* from, std::int64_t count) { return _mm256_maskload_ps(from, first(count)); }
  static void store(float* to, Float v) { _mm256_storeu_ps(to, v); }
  static void store(float* to, Float v, std::int64_t count) { _mm256_maskstore_ps(to, first(count), v); }
  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float div(Float a, Float b) { return _mm256_div_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  static Float max_or_nan(Float best, Float x) {
    return _mm256_blendv_ps(_mm256_max_ps(x, best), x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  }
  static bool any_nan(Float v) { return _mm256_movemask_ps(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)) != 0; }
  static float sum(Float v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }

  static Int set(std::int32_t value) { return _mm256_set1_epi32(value); }
  static Int add(Int a, Int b) { return _mm256_add_epi32(a, b); }
  static Int sub(Int a, Int b) { return _mm256_sub_epi32(a, b); }
  static Float to_float(Int v) { return _mm256_cvtepi32_ps(v); }
  static Int round(Float v) { return _mm256_cvtps_epi32(v); }
  static Int widen(const std::uint8_t* from) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
  }
  static Int widen(const std::int8_t* from) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
  }

  static Bytes set_bytes(std::int32_t value) { return _mm256_set1_epi8(static_cast<char>(value)); }
  static Bytes load(const std::uint8_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static Bytes load(const std::int8_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static void store_bytes(void* to, Bytes v) { _mm256_storeu_si256(static_cast<__m256i*>(to), v); }
  static void store_bytes(void* to, Bytes v, std::int64_t count) {
    alignas(32) std::uint8_t all[kBytes];
    _mm256_store_si256(reinterpret_cast<__m256i*>(all), v);
    std::memcpy(to, all, static_cast<std::size_t>(count));
  }
  static Bytes larger(Bytes a, Bytes b, std::uint8_t) { return _mm256_max_epu8(a, b); }
  static Bytes larger(Bytes a, Bytes b, std::int8_t) { return _mm256_max_epi8(a, b); }
  static Int set_words(std::int32_t value) { return _mm256_set1_epi16(static_cast<short>(value)); }
  template <class T>
  static Bytes narrow(const Int (&v)[4], Int words) {
    const __m256i low = _mm256_adds_epi16(_mm256_packs_epi32(v[0], v[1]), words);
    const __m256i high = _mm256_adds_epi16(_mm256_packs_epi32(v[2], v[3]), words);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const bool is_unsigned = T(-1) > T(0);
    return _mm256_permutevar8x32_epi32(is_unsigned ? _mm256_packus_epi16(low, high) : _mm256_packs_epi16(low, high),
                                       order);
  }
};

}  // namespace
}  // namespace octet::kernels::avx2
