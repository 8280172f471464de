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
  // ConvParams::residual: (r - zero) * other = r * other + start, which is exact (rule 11).
  bool adds = false, residual_is_unsigned = false;
  std::int64_t to_residual = 0;  // bytes from an output to its residual
  __m256 own, other, start, sum_hi;
};

// What pack_bytes() needs to know of the integers that are stored.
static inline void set_limits(Constants& c, std::int32_t lo, std::int32_t hi, std::int32_t zero) {
  c.shifts = zero != 0, c.cuts_high = hi < 127;
  c.zero16 = _mm256_set1_epi16(static_cast<short>(zero));
  c.low_bytes = _mm256_set1_epi8(static_cast<char>(lo));
  c.high_bytes = _mm256_set1_epi8(static_cast<char>(hi));
}

static inline void set_residual(Constants& c, const StepArgs& args, const Residual& r) {
  c.adds = true;
  c.residual_is_unsigned = args.inputs[1].type == DType::u8;
  c.to_residual = args.inputs[1].data - args.output.data;
  c.own = _mm256_set1_ps(r.own), c.other = _mm256_set1_ps(r.other);
  c.start = _mm256_set1_ps(-static_cast<float>(r.zero_other) * r.other);
  c.sum_hi = _mm256_set1_ps(static_cast<float>(r.hi - r.zero_out));
  set_limits(c, r.lo, r.hi, r.zero_out);
}

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
  set_limits(c, e.lo, e.hi, e.zero);
  const Residual& residual = static_cast<const ConvParams*>(args.params)->residual;
  if (residual.any) set_residual(c, args, residual);
  return c;
}

// Rule 7 up to the integer; where the plan has proved that nothing overflows, pack_bytes() does all of the clamping.
__attribute__((always_inline)) static inline __m256i to_integer(const Constants& c, __m256i accumulator,
                                                                __m256 multiplier) {
  const __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(accumulator), multiplier);
  return _mm256_cvtps_epi32(c.clamp_first ? _mm256_min_ps(_mm256_max_ps(value, c.lo), c.hi) : value);
}

// The same with the residual of 8 channels added, whose bytes are at `from`: rule 7 in full, then rule 11. (A sum far
// below becomes the smallest integer, which pack_bytes() clamps.)
__attribute__((always_inline)) static inline __m256i to_sum(const Constants& c, __m256i accumulator, __m256 multiplier,
                                                            const std::byte* from) {
  const __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(accumulator), multiplier);
  const __m256 own = _mm256_cvtepi32_ps(_mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(value, c.lo), c.hi)));
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  const __m256i other = c.residual_is_unsigned ? _mm256_cvtepu8_epi32(bytes) : _mm256_cvtepi8_epi32(bytes);
  const __m256 sum = _mm256_fmadd_ps(own, c.own, _mm256_fmadd_ps(_mm256_cvtepi32_ps(other), c.other, c.start));
  return _mm256_cvtps_epi32(_mm256_min_ps(sum, c.sum_hi));
}

// `out` is where the vector's first byte will be stored.
template <bool Adds>
__attribute__((always_inline)) static inline __m256i to_integer(const Constants& c, __m256i accumulator,
                                                                __m256 multiplier, const std::byte* out) {
  if constexpr (Adds) return to_sum(c, accumulator, multiplier, out + c.to_residual);
  return to_integer(c, accumulator, multiplier);
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

// Sums become outputs, as avx512.h describes, with blocks of eight channels.
template <int Blocks, bool Adds, class Get>
static inline void store_bytes(const Constants& constants, Get get, std::byte* const* out, std::int64_t count,
                               std::int64_t channel, std::int64_t channels) {
  const Constants c = constants;  // a copy that nothing points to stays in registers
  const __m256 m0 = _mm256_loadu_ps(c.multiplier + channel),
               m1 = _mm256_loadu_ps(c.multiplier + channel + 8 * (Blocks - 1));
  constexpr std::int64_t kTogether = Blocks == 2 ? 2 : 4;  // pixels of 32 bytes
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const std::int64_t last = count - 1;  // the last ones may repeat the last pixel
  for (std::int64_t p = 0; p < count; p += kTogether) {
    const auto pixel = [&](std::int64_t i) { return p + i < count ? p + i : last; };
    const auto integer = [&](std::int64_t i) __attribute__((always_inline)) {
      const std::int64_t p = pixel(i / Blocks), block = i % Blocks;
      return to_integer<Adds>(c, get(p, static_cast<int>(block)), block == 0 ? m0 : m1, out[p] + channel + 8 * block);
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

template <int Blocks, class Get>
static inline void store_pixels(const Constants& c, Get get, std::byte* const* out, std::int64_t count,
                                std::int64_t channel, std::int64_t channels) {
  if (c.form != Epilogue::Form::real) {
    if (c.adds) return store_bytes<Blocks, true>(c, get, out, count, channel, channels);
    return store_bytes<Blocks, false>(c, get, out, count, channel, channels);
  }
  for (int block = 0; block < Blocks; ++block) {
    const __m256 m = _mm256_loadu_ps(c.multiplier + channel + 8 * block);
    const std::int64_t left = channels - 8 * block;
    for (std::int64_t p = 0; p < count; ++p) {
      std::byte* to = out[p] + (channel + 8 * block) * 4;
      store_floats(_mm256_mul_ps(_mm256_cvtepi32_ps(get(p, block)), m), left < 8 ? left : 8, to);
    }
  }
}

}  // namespace octet::kernels::avx2
