// One AVX512 register's worth of floats or bytes, under the names that the shared loops (add_s8.h, pool.h, ...) are
// written with; lanes_avx2.h gives the same names to AVX2. In an unnamed namespace, so that every file has its own code
// for its own instruction set.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace octet::kernels::avx512 {
namespace {

struct Lanes {
  using Float = __m512;
  using Int = __m512i;    // kFloats of 32 bits
  using Bytes = __m512i;  // kBytes of 8 bits
  static constexpr int kFloats = 16, kBytes = 64;
  // Sums that a convolution keeps in registers: 32 less two weights, an input and room for the compiler.
  static constexpr int kSums = 28;

  static __mmask16 first(std::int64_t count) { return static_cast<__mmask16>((1u << count) - 1); }

  static Float set(float value) { return _mm512_set1_ps(value); }
  static Float load(const float* from) { return _mm512_loadu_ps(from); }
  // Of fewer than kFloats: touches no more memory than that; the other lanes are 0.
  static Float load(const float* from, std::int64_t count) { return _mm512_maskz_loadu_ps(first(count), from); }
  static void store(float* to, Float v) { _mm512_storeu_ps(to, v); }
  static void store(float* to, Float v, std::int64_t count) { _mm512_mask_storeu_ps(to, first(count), v); }
  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float div(Float a, Float b) { return _mm512_div_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  // As minps and maxps: the second operand where either is a NaN.
  static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  // The larger one; a NaN in either operand is the result.
  static Float max_or_nan(Float best, Float x) {
    return _mm512_mask_mov_ps(_mm512_max_ps(x, best), _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
  }
  static bool any_nan(Float v) { return _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q) != 0; }
  static float sum(Float v) { return _mm512_reduce_add_ps(v); }

  static Int set(std::int32_t value) { return _mm512_set1_epi32(value); }
  static Int add(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static Int sub(Int a, Int b) { return _mm512_sub_epi32(a, b); }
  static Float to_float(Int v) { return _mm512_cvtepi32_ps(v); }
  // To nearest even, the mode of MXCSR that a run sets; what does not fit becomes the smallest integer.
  static Int round(Float v) { return _mm512_cvtps_epi32(v); }
  // kFloats bytes as integers.
  static Int widen(const std::uint8_t* from) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static Int widen(const std::int8_t* from) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }

  static Bytes set_bytes(std::int32_t value) { return _mm512_set1_epi8(static_cast<char>(value)); }
  static Bytes load(const std::uint8_t* from) { return _mm512_loadu_si512(from); }
  static Bytes load(const std::int8_t* from) { return _mm512_loadu_si512(from); }
  static void store_bytes(void* to, Bytes v) { _mm512_storeu_si512(to, v); }
  static void store_bytes(void* to, Bytes v, std::int64_t count) {
    _mm512_mask_storeu_epi8(to, (std::uint64_t{1} << count) - 1, v);
  }
  static Bytes larger(Bytes a, Bytes b, std::uint8_t) { return _mm512_max_epu8(a, b); }
  static Bytes larger(Bytes a, Bytes b, std::int8_t) { return _mm512_max_epi8(a, b); }
  // 16-bit lanes with the value, for narrow().
  static Int set_words(std::int32_t value) { return _mm512_set1_epi16(static_cast<short>(value)); }
  // Four vectors of integers, saturated to 16 bits, + words, saturated to 8 bits, in order. The packs work within
  // quarters of a register: the last permutation sorts them.
  template <class T>
  static Bytes narrow(const Int (&v)[4], Int words) {
    const __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), words);
    const __m512i high = _mm512_adds_epi16(_mm512_packs_epi32(v[2], v[3]), words);
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const bool is_unsigned = T(-1) > T(0);
    return _mm512_permutexvar_epi32(order,
                                    is_unsigned ? _mm512_packus_epi16(low, high) : _mm512_packs_epi16(low, high));
  }
};

}  // namespace
}  // namespace octet::kernels::avx512
