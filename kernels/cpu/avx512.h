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
};

static inline Constants constants_of(const StepArgs& args) {
  const Epilogue& e = static_cast<const ConvParams*>(args.params)->epilogue;
  Constants c;
  c.form = e.form;
  c.bias = e.bias;
  c.multiplier = e.multiplier;
  c.lo = _mm512_set1_ps(static_cast<float>(e.lo - e.zero));
  c.hi = _mm512_set1_ps(static_cast<float>(e.hi - e.zero));
  c.zero = _mm512_set1_epi32(e.zero);
  return c;
}

// fl(acc), * m, clamp, round to nearest even (the mode of MXCSR, which a run sets), + zero.
static inline __m512i requantise(const Constants& c, __m512i accumulator, __m512 multiplier) {
  __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(accumulator), multiplier);
  value = _mm512_min_ps(_mm512_max_ps(value, c.lo), c.hi);
  return _mm512_add_epi32(_mm512_cvtps_epi32(value), c.zero);
}

static inline void store(const Constants& c, __m512 multiplier, __m512i accumulator, std::int64_t count,
                         std::byte* out) {
  if (c.form == Epilogue::Form::real) {
    _mm512_mask_storeu_ps(out, lanes(count), _mm512_mul_ps(_mm512_cvtepi32_ps(accumulator), multiplier));
    return;
  }
  const __m128i bytes = _mm512_cvtepi32_epi8(requantise(c, accumulator, multiplier));
  if (count == 16) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
  } else {
    _mm_mask_storeu_epi8(out, lanes(count), bytes);
  }
}

}  // namespace octet::kernels::avx512
