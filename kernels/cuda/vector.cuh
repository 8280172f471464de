// What kernels that take four channels at a time share: a word is four neighbouring channels of one pixel, in a
// register.
#pragma once

#include "kernels/cuda/element.cuh"
#include "kernels/cuda/layout.h"

namespace octet::kernels::cuda {

// c + the four products of a's bytes (signed or not) and b's signed bytes.
template <bool is_unsigned>
__device__ static inline std::int32_t dot4(std::uint32_t a, std::uint32_t b, std::int32_t c) {
#ifdef OCTET_SIMT
  for (int i = 0; i < 4; ++i) {
    const auto byte = static_cast<std::uint8_t>(a >> 8 * i);
    c += (is_unsigned ? byte : static_cast<std::int8_t>(byte)) * static_cast<std::int8_t>(b >> 8 * i);
  }
  return c;
#else
  std::int32_t d;
  if (is_unsigned) {
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  } else {
    asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  }
  return d;
#endif
}

// The low bytes of four integers, the first one lowest.
__device__ static inline std::uint32_t pack4(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  return __byte_perm(__byte_perm(a, b, 0x0040), __byte_perm(c, d, 0x0040), 0x5410);
}

// The integer value of byte k.
template <bool is_unsigned>
__device__ static inline std::int32_t byte_of(std::uint32_t word, int k) {
  return is_unsigned ? static_cast<std::int32_t>(word >> (8 * k) & 0xFF)
                     : static_cast<std::int32_t>(word << (24 - 8 * k)) >> 24;
}

// Rule 7's clamp, rounding and zero point. Only the low byte of the result is meant: arithmetic::round_even() without
// the subtraction, which does not change it.
__device__ static inline std::uint32_t round_to_byte(float x, float lo, float hi, std::int32_t zero) {
  const float rounded = arithmetic::clamp(x, lo, hi) + 12582912.0f;
  return static_cast<std::uint32_t>(__float_as_int(rounded) + zero);
}

// Four accumulators (biases included) of channels c .. c + 3, by rule 7.
__device__ static inline std::uint32_t requantise4(const Epilogue& e, const std::int32_t (&acc)[4], int c) {
  const float4 m = *reinterpret_cast<const float4*>(e.multiplier + c);
  const float lo = static_cast<float>(e.lo - e.zero), hi = static_cast<float>(e.hi - e.zero);
  return pack4(round_to_byte(static_cast<float>(acc[0]) * m.x, lo, hi, e.zero),
               round_to_byte(static_cast<float>(acc[1]) * m.y, lo, hi, e.zero),
               round_to_byte(static_cast<float>(acc[2]) * m.z, lo, hi, e.zero),
               round_to_byte(static_cast<float>(acc[3]) * m.w, lo, hi, e.zero));
}

// Stores channels c .. c + 3 as far as the view has them; the view's pixels start at multiples of 4 bytes.
__device__ static inline void store_word(const View& out, int n, int y, int x, int c, std::uint32_t word) {
  std::uint8_t* to = out.at<std::uint8_t>(n, y, x, c);
  if (c + 4 <= out.c) {
    *reinterpret_cast<std::uint32_t*>(to) = word;
  } else {
    for (int k = 0; c + k < out.c; ++k) to[k] = static_cast<std::uint8_t>(word >> (8 * k));
  }
}

// Sixteen channels c .. c + 15 likewise; the view's pixels start at multiples of 16 bytes.
__device__ static inline void store_vector(const View& out, int n, int y, int x, int c, const uint4& vector) {
  if (c + 16 <= out.c) {
    *reinterpret_cast<uint4*>(out.at<std::uint8_t>(n, y, x, c)) = vector;
    return;
  }
  const std::uint32_t words[4] = {vector.x, vector.y, vector.z, vector.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (c + 4 * i < out.c) store_word(out, n, y, x, c + 4 * i, words[i]);
  }
}

// Whether a view's pixels can be read as words, and as vectors of 16 bytes: NHWC of bytes in the arena's layout.
static inline bool in_words(const View& v) {
  return v.type != DType::f32 && v.stride_c == 1 && v.stride_w % 4 == 0 && v.stride_h % 4 == 0 && v.stride_n % 4 == 0;
}

static inline bool in_vectors(const View& v) {
  return in_words(v) && v.stride_w % kVectorBytes == 0 && v.stride_h % kVectorBytes == 0 &&
         v.stride_n % kVectorBytes == 0;
}

constexpr int words_of(int channels) { return (channels + 3) / 4; }
constexpr int vectors_of(int channels) { return (channels + 15) / 16; }

}  // namespace octet::kernels::cuda
