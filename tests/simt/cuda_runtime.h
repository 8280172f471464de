// Stands in for CUDA's device side: what the kernels of kernels/cuda/ use of it, and no more.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda_runtime_api.h"
#include "simt.h"

#define SIMT_TEXT2(x) #x
#define SIMT_TEXT(x) SIMT_TEXT2(x)
#define __device__
#define __host__
#define __global__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// In a section of its own, where simt.cpp finds it.
#define __shared__ static __attribute__((section("simt_shared_" SIMT_TEXT(__COUNTER__))))

struct alignas(8) uint2 {
  unsigned x = 0, y = 0;
};
struct alignas(16) uint4 {
  unsigned x = 0, y = 0, z = 0, w = 0;
};
struct alignas(16) int4 {
  int x = 0, y = 0, z = 0, w = 0;
};
struct alignas(16) float4 {
  float x = 0, y = 0, z = 0, w = 0;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// --- arithmetic
// ------------------------------------------------------------------------------------------------------

template <class A, class B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  return b < a ? b : a;
}
template <class A, class B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  return a < b ? b : a;
}

template <class To, class From>
To simt_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
inline int __float_as_int(float x) { return simt_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return simt_bits<unsigned>(x); }
inline float __int_as_float(int x) { return simt_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return simt_bits<float>(x); }

inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(std::uint64_t{a} * b >> 32); }

// Byte i of the result is byte (selector's digit i) of b:a; a digit's highest bit (spread the sign) is not used here.
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const std::uint64_t both = std::uint64_t{b} << 32 | a;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    result |= static_cast<unsigned>(both >> (selector >> 4 * i & 7) * 8 & 0xFF) << 8 * i;
  }
  return result;
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((std::uint64_t{high} << 32 | low) >> (shift & 31));
}
template <class Byte, class Operation>
unsigned simt_bytes(unsigned a, unsigned b, Operation operation) {
  unsigned result = 0;
  for (int i = 0; i < 32; i += 8) {
    const auto made = operation(static_cast<Byte>(a >> i), static_cast<Byte>(b >> i));
    result |= static_cast<unsigned>(static_cast<std::uint8_t>(made)) << i;
  }
  return result;
}
inline unsigned __vadd4(unsigned a, unsigned b) {
  return simt_bytes<std::uint8_t>(a, b, [](int x, int y) { return x + y; });
}
inline unsigned __vmaxs4(unsigned a, unsigned b) {
  return simt_bytes<std::int8_t>(a, b, [](int x, int y) { return x > y ? x : y; });
}
inline unsigned __vmaxu4(unsigned a, unsigned b) {
  return simt_bytes<std::uint8_t>(a, b, [](int x, int y) { return x > y ? x : y; });
}

// --- memory
// ------------------------------------------------------------------------------------------------------

template <class T>
T __ldg(const T* from) {
  return *from;
}
template <class T, class V>
T atomicAdd(T* at, V value) {
  const T old = *at;
  *at = static_cast<T>(old + static_cast<T>(value));
  return old;
}
template <class T, class V>
T atomicOr(T* at, V value) {
  const T old = *at;
  *at = old | static_cast<T>(value);
  return old;
}
template <class T, class V>
T atomicAnd(T* at, V value) {
  const T old = *at;
  *at = old & static_cast<T>(value);
  return old;
}
template <class T, class V>
T atomicMax(T* at, V value) {
  const T old = *at;
  *at = max(old, static_cast<T>(value));
  return old;
}

// --- threads that meet
// ------------------------------------------------------------------------------------------------------

inline void __syncthreads() { simt::meet_block(0, 0); }

inline void simt_check_mask(unsigned mask) {
  if (mask != 0xFFFFFFFFu) simt::fail("a collective of some lanes only");
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu) {
  simt_check_mask(mask);
  (void)simt::meet_warp("__syncwarp", {});
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  simt_check_mask(mask);
  const simt::Slot* all = simt::meet_warp("__ballot_sync", {{predicate != 0 ? 1u : 0u}});
  unsigned votes = 0;
  for (int i = 0; i < simt::kLanes; ++i) votes |= all[i].words[0] << i;
  return votes;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == 0xFFFFFFFFu; }

template <class T>
T simt_shuffle(const char* what, unsigned mask, T value, int from) {
  static_assert(sizeof(T) <= sizeof(simt::Slot));
  simt_check_mask(mask);
  simt::Slot own{};
  std::memcpy(own.words, &value, sizeof value);
  const simt::Slot* all = simt::meet_warp(what, own);
  std::memcpy(&value, all[from & 31].words, sizeof value);
  return value;
}
template <class T>
T __shfl_sync(unsigned mask, T value, int from) {
  return simt_shuffle("__shfl_sync", mask, value, from);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int by) {
  return simt_shuffle("__shfl_up_sync", mask, value, simt::lane() < by ? simt::lane() : simt::lane() - by);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int by) {
  return simt_shuffle("__shfl_down_sync", mask, value, simt::lane() + by > 31 ? simt::lane() : simt::lane() + by);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int by) {
  return simt_shuffle("__shfl_xor_sync", mask, value, simt::lane() ^ by);
}
