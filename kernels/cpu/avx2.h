// What the AVX2 kernels share: the requantising epilogue, exactly rule 7 eight channels at a time.
#pragma once

#include <immintrin.h>

#include "kernels/kernel.h"

namespace octet::kernels::avx2 {

// The epilogue's constants in registers.
struct Constants {
  Epilogue::Form form = Epilogue::Form::one_multiply;
  const std::int32_t* bias = nullptr;
  const float* multiplier = nullptr;
  __m256 lo, hi;
  __m256i zero;
  // For clamp_bytes() and to_integer():
  bool clamp_first = true, is_unsigned = false;
  bool shifts = true, cuts_high = true;  // the zero point is not 0; the upper limit is below 127
  __m256i zero16, low_bytes, high_bytes;
};

static inline Constants constants_of(const StepArgs& args) {
  const Epilogue& e = static_cast<const ConvParams*>(args.params)->epilogue;
  Constants c;
  c.form = e.form;
  c.bias = e.bias;
  c.multiplier = e.multiplier;
  c.lo = _mm256_set1_ps(static_cast<float>(e.lo - e.zero));
  c.hi = _mm256_set1_ps(static_cast<float>(e.hi - e.zero));
  c.zero = _mm256_set1_epi32(e.zero);
  c.clamp_first = !e.fits_int32;
  c.is_unsigned = args.output.type == DType::u8;
  c.shifts = e.zero != 0, c.cuts_high = e.hi < 127;
  c.zero16 = _mm256_set1_epi16(static_cast<short>(e.zero));
  c.low_bytes = _mm256_set1_epi8(static_cast<char>(e.lo));
  c.high_bytes = _mm256_set1_epi8(static_cast<char>(e.hi));
  return c;
}

// Rule 7 up to the integer; where the plan has proved that nothing overflows, pack_bytes() does all of the clamping.
__attribute__((always_inline)) static inline __m256i to_integer(const Constants& c, __m256i accumulator,
                                                                __m256 multiplier) {
  const __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(accumulator), multiplier);
  return _mm256_cvtps_epi32(c.clamp_first ? _mm256_min_ps(_mm256_max_ps(value, c.lo), c.hi) : value);
}

// Four vectors of to_integer() to 32 bytes, + zero and clamped. The packs work within 128-bit lanes: lane k holds
// elements 4k to 4k + 3 of each vector, one vector after the other.
__attribute__((always_inline)) static inline __m256i pack_bytes(const Constants& c, __m256i v0, __m256i v1, __m256i v2,
                                                                __m256i v3) {
  __m256i a = _mm256_packs_epi32(v0, v1), b = _mm256_packs_epi32(v2, v3);
  if (c.shifts) a = _mm256_adds_epi16(a, c.zero16), b = _mm256_adds_epi16(b, c.zero16);
  if (c.is_unsigned) return _mm256_min_epu8(_mm256_max_epu8(_mm256_packus_epi16(a, b), c.low_bytes), c.high_bytes);
  const __m256i bytes = _mm256_max_epi8(_mm256_packs_epi16(a, b), c.low_bytes);
  return c.cuts_high ? _mm256_min_epi8(bytes, c.high_bytes) : bytes;
}

static inline void store_floats(__m256 values, std::int64_t count, std::byte* out) {
  if (count == 8) {
    _mm256_storeu_ps(reinterpret_cast<float*>(out), values);
    return;
  }
  alignas(32) float all[8];
  _mm256_store_ps(all, values);
  for (std::int64_t i = 0; i < count; ++i) reinterpret_cast<float*>(out)[i] = all[i];
}

// Sums become outputs, as avx512::store_pixels() describes, with blocks of eight channels.
template <int Blocks, class Get>
static inline void store_pixels(const Constants& constants, Get get, std::byte* const* out, std::int64_t count,
                                std::int64_t channel, std::int64_t channels) {
  const Constants c = constants;  // a copy that nothing points to stays in registers
  const __m256 m0 = _mm256_loadu_ps(c.multiplier + channel),
               m1 = _mm256_loadu_ps(c.multiplier + channel + 8 * (Blocks - 1));
  if (c.form == Epilogue::Form::real) {
    for (std::int64_t p = 0; p < count; ++p) {
      std::byte* to = out[p] + channel * 4;
      store_floats(_mm256_mul_ps(_mm256_cvtepi32_ps(get(p, 0)), m0), channels < 8 ? channels : 8, to);
      if (Blocks == 2) store_floats(_mm256_mul_ps(_mm256_cvtepi32_ps(get(p, 1)), m1), channels - 8, to + 32);
    }
    return;
  }
  constexpr std::int64_t kTogether = Blocks == 2 ? 2 : 4;  // pixels of 32 bytes
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const std::int64_t last = count - 1;  // the last ones may repeat the last pixel
  for (std::int64_t p = 0; p < count; p += kTogether) {
    const auto pixel = [&](std::int64_t i) { return p + i < count ? p + i : last; };
    const auto integer = [&](std::int64_t i) __attribute__((always_inline)) {
      if constexpr (Blocks == 2) return to_integer(c, get(pixel(i / 2), static_cast<int>(i % 2)), i % 2 == 0 ? m0 : m1);
      return to_integer(c, get(pixel(i), 0), m0);
    };
    alignas(32) std::byte bytes[32];
    const __m256i packed = pack_bytes(c, integer(0), integer(1), integer(2), integer(3));
    _mm256_store_si256(reinterpret_cast<__m256i*>(bytes), _mm256_permutevar8x32_epi32(packed, order));
    for (std::int64_t i = 0; i < kTogether; ++i) {
      std::byte* to = out[pixel(i)] + channel;
      const std::byte* from = bytes + i * 8 * Blocks;
      if (channels == 8 * Blocks) {
        __builtin_memcpy(to, from, 8 * Blocks);
      } else {
        for (std::int64_t k = 0; k < channels; ++k) to[k] = from[k];
      }
    }
  }
}

}  // namespace octet::kernels::avx2
