// What the AVX512 kernels share: the requantising epilogue, exactly rule 7 sixteen channels at a time.
#pragma once

#include <immintrin.h>

#include "kernels/kernel.h"

namespace octet::kernels::avx512 {

static inline __mmask16 lanes(std::int64_t count) { return static_cast<__mmask16>((1u << count) - 1); }

// The epilogue's constants in registers.
struct Constants {
  Epilogue::Form form = Epilogue::Form::one_multiply;
  const std::int32_t* bias = nullptr;
  const float* multiplier = nullptr;
  const std::int32_t* compensation = nullptr;  // what the input's + 128 added, negated; one a channel
  __m512 lo, hi;
  __m512i zero;
  // For narrow():
  bool clamp_first = true, is_unsigned = false;
  bool shifts = true, cuts_high = true;  // the zero point is not 0; the upper limit is below 127
  __m512i zero16, low_bytes, high_bytes;
  // ConvParams::residual: (r - zero) * other = r * other + start, which is exact (rule 11).
  bool adds = false, residual_is_unsigned = false;
  std::int64_t to_residual = 0;  // bytes from an output to its residual
  __m512 own, other, start, sum_hi;
};

// What pack_bytes() needs to know of the integers that are stored.
static inline void set_limits(Constants& c, std::int32_t lo, std::int32_t hi, std::int32_t zero) {
  c.shifts = zero != 0, c.cuts_high = hi < 127;
  c.zero16 = _mm512_set1_epi16(static_cast<short>(zero));
  c.low_bytes = _mm512_set1_epi8(static_cast<char>(lo));
  c.high_bytes = _mm512_set1_epi8(static_cast<char>(hi));
}

static inline void set_residual(Constants& c, const StepArgs& args, const Residual& r) {
  c.adds = true;
  c.residual_is_unsigned = args.inputs[1].type == DType::u8;
  c.to_residual = args.inputs[1].data - args.output.data;
  c.own = _mm512_set1_ps(r.own), c.other = _mm512_set1_ps(r.other);
  c.start = _mm512_set1_ps(-static_cast<float>(r.zero_other) * r.other);
  c.sum_hi = _mm512_set1_ps(static_cast<float>(r.hi - r.zero_out));
  set_limits(c, r.lo, r.hi, r.zero_out);
}

static inline Constants constants_of(const StepArgs& args) {
  const Epilogue& e = static_cast<const ConvParams*>(args.params)->epilogue;
  Constants c;
  c.form = e.form;
  c.bias = e.bias;
  c.multiplier = e.multiplier;
  c.lo = _mm512_set1_ps(static_cast<float>(e.lo - e.zero));
  c.hi = _mm512_set1_ps(static_cast<float>(e.hi - e.zero));
  c.zero = _mm512_set1_epi32(e.zero);
  c.clamp_first = !e.fits_int32;
  c.is_unsigned = args.output.type == DType::u8;
  set_limits(c, e.lo, e.hi, e.zero);
  const Residual& residual = static_cast<const ConvParams*>(args.params)->residual;
  if (residual.any) set_residual(c, args, residual);
  return c;
}

// Rule 7 up to the integer: where the plan has proved that nothing overflows, narrow() does all of the clamping.
__attribute__((always_inline)) static inline __m512i to_integer(const Constants& c, __m512i accumulator,
                                                                __m512 multiplier) {
  const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(accumulator), multiplier);
  return _mm512_cvtps_epi32(c.clamp_first ? _mm512_min_ps(_mm512_max_ps(value, c.lo), c.hi) : value);
}

// The same with the residual of 16 channels added, whose bytes are at `from`: rule 7 in full, then rule 11. (A sum far
// below becomes the smallest integer, which pack_bytes() clamps.)
__attribute__((always_inline)) static inline __m512i to_sum(const Constants& c, __m512i accumulator, __m512 multiplier,
                                                            const std::byte* from) {
  const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(accumulator), multiplier);
  const __m512 own = _mm512_cvtepi32_ps(_mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(value, c.lo), c.hi)));
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  const __m512i other = c.residual_is_unsigned ? _mm512_cvtepu8_epi32(bytes) : _mm512_cvtepi8_epi32(bytes);
  const __m512 sum = _mm512_fmadd_ps(own, c.own, _mm512_fmadd_ps(_mm512_cvtepi32_ps(other), c.other, c.start));
  return _mm512_cvtps_epi32(_mm512_min_ps(sum, c.sum_hi));
}

// `out` is where the vector's first byte will be stored.
template <bool Adds>
__attribute__((always_inline)) static inline __m512i to_integer(const Constants& c, __m512i accumulator,
                                                                __m512 multiplier, const std::byte* out) {
  if constexpr (Adds) return to_sum(c, accumulator, multiplier, out + c.to_residual);
  return to_integer(c, accumulator, multiplier);
}

// Four vectors of to_integer() to 64 bytes, + zero and clamped. The packs work within 128-bit lanes: lane k holds
// elements 4k to 4k + 3 of each vector, one vector after the other.
__attribute__((always_inline)) static inline __m512i pack_bytes(const Constants& c, __m512i v0, __m512i v1, __m512i v2,
                                                                __m512i v3) {
  __m512i a = _mm512_packs_epi32(v0, v1), b = _mm512_packs_epi32(v2, v3);
  if (c.shifts) a = _mm512_adds_epi16(a, c.zero16), b = _mm512_adds_epi16(b, c.zero16);
  if (c.is_unsigned) return _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(a, b), c.low_bytes), c.high_bytes);
  const __m512i bytes = _mm512_max_epi8(_mm512_packs_epi16(a, b), c.low_bytes);
  return c.cuts_high ? _mm512_min_epi8(bytes, c.high_bytes) : bytes;
}

// The same in the vectors' own order. 9 instructions where vpmovsdb would take 8 and the clamps 8 more.
__attribute__((always_inline)) static inline __m512i narrow(const Constants& c, __m512i v0, __m512i v1, __m512i v2,
                                                            __m512i v3) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, pack_bytes(c, v0, v1, v2, v3));
}

// Sums become outputs: `get(pixel, block)` is the vector of 16 sums of one pixel's block of channels, out[pixel] the
// pixel's channel 0. Blocks is 1, 2 or 4; `channels` of them, at most 16 * Blocks, are stored from `channel` on. Rule
// 13's floats or rule 7's bytes, four vectors at a time (a pixel of 64 channels, two of 32, or four of 16).
template <int Blocks, class Get>
static inline void store_floats(const Constants& c, Get get, std::byte* const* out, std::int64_t count,
                                std::int64_t channel, std::int64_t channels) {
  for (int block = 0; block < Blocks; ++block) {
    const __m512 m = _mm512_loadu_ps(c.multiplier + channel + 16 * block);
    const std::int64_t left = channels - 16 * block;
    const __mmask16 mask = lanes(left < 16 ? left : 16);
    for (std::int64_t p = 0; p < count; ++p) {
      auto* to = reinterpret_cast<float*>(out[p]) + channel + 16 * block;
      _mm512_mask_storeu_ps(to, mask, _mm512_mul_ps(_mm512_cvtepi32_ps(get(p, block)), m));
    }
  }
}

template <int Blocks, bool Adds, class Get>
static inline void store_bytes(const Constants& constants, Get get, std::byte* const* out, std::int64_t count,
                               std::int64_t channel, std::int64_t channels) {
  // A copy that nothing points to stays in registers: bytes that are stored might be anybody's.
  const Constants c = constants;
  const __m512 m0 = _mm512_loadu_ps(c.multiplier + channel),
               m1 = _mm512_loadu_ps(c.multiplier + channel + (Blocks > 1 ? 16 : 0));
  const auto integer = [&](std::int64_t p, int block, __m512 m) __attribute__((always_inline)) {
    return to_integer<Adds>(c, get(p, block), m, out[p] + channel + 16 * block);
  };
  if constexpr (Blocks == 4) {
    const __m512 m2 = _mm512_loadu_ps(c.multiplier + channel + 32), m3 = _mm512_loadu_ps(c.multiplier + channel + 48);
    const __mmask64 mask = channels == 64 ? ~0ull : (1ull << channels) - 1;
    for (std::int64_t p = 0; p < count; ++p) {
      const __m512i bytes = narrow(c, integer(p, 0, m0), integer(p, 1, m1), integer(p, 2, m2), integer(p, 3, m3));
      if (channels == 64) {
        _mm512_storeu_si512(out[p] + channel, bytes);
      } else {
        _mm512_mask_storeu_epi8(out[p] + channel, mask, bytes);
      }
    }
  } else if constexpr (Blocks == 2) {
    const auto bytes_of = [&](std::int64_t p, std::int64_t p1) __attribute__((always_inline)) {
      return narrow(c, integer(p, 0, m0), integer(p, 1, m1), integer(p1, 0, m0), integer(p1, 1, m1));
    };
    const __mmask32 mask = channels == 32 ? ~0u : (1u << channels) - 1;
    std::int64_t p = 0;
    for (; p + 1 < count; p += 2) {
      const __m512i bytes = bytes_of(p, p + 1);
      std::byte *to = out[p] + channel, *next = out[p + 1] + channel;
      if (channels == 32) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(bytes));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(next), _mm512_extracti64x4_epi64(bytes, 1));
      } else {
        _mm256_mask_storeu_epi8(to, mask, _mm512_castsi512_si256(bytes));
        _mm256_mask_storeu_epi8(next, mask, _mm512_extracti64x4_epi64(bytes, 1));
      }
    }
    if (p < count) _mm256_mask_storeu_epi8(out[p] + channel, mask, _mm512_castsi512_si256(bytes_of(p, p)));
  } else {
    const __mmask16 mask = lanes(channels);
    const std::int64_t last = count - 1;  // the last four pixels may repeat the last one
    for (std::int64_t p = 0; p < count; p += 4) {
      const std::int64_t p1 = p + 1 < count ? p + 1 : last, p2 = p + 2 < count ? p + 2 : last,
                         p3 = p + 3 < count ? p + 3 : last;
      const __m512i bytes = narrow(c, integer(p, 0, m0), integer(p1, 0, m0), integer(p2, 0, m0), integer(p3, 0, m0));
      const __m128i of[4] = {_mm512_castsi512_si128(bytes), _mm512_extracti32x4_epi32(bytes, 1),
                             _mm512_extracti32x4_epi32(bytes, 2), _mm512_extracti32x4_epi32(bytes, 3)};
      const std::int64_t pixels[4] = {p, p1, p2, p3};
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        std::byte* to = out[pixels[i]] + channel;
        if (channels == 16) {
          _mm_storeu_si128(reinterpret_cast<__m128i*>(to), of[i]);
        } else {
          _mm_mask_storeu_epi8(to, mask, of[i]);
        }
      }
    }
  }
}

template <int Blocks, class Get>
static inline void store_pixels(const Constants& c, Get get, std::byte* const* out, std::int64_t count,
                                std::int64_t channel, std::int64_t channels) {
  if (c.form == Epilogue::Form::real) return store_floats<Blocks>(c, get, out, count, channel, channels);
  if (c.adds) return store_bytes<Blocks, true>(c, get, out, count, channel, channels);
  return store_bytes<Blocks, false>(c, get, out, count, channel, channels);
}

}  // namespace octet::kernels::avx512
