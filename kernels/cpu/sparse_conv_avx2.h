// What the AVX2 sparse convolutions share.
#pragma once

#include "kernels/cpu/avx2.h"
#include "kernels/cpu/sparse_conv.h"

namespace octet::kernels::sparse {

struct Common256 {
  using Sum = __m256i;
  using Weights = __m256i;
  using Scalar = std::int32_t;
  using Source = std::int8_t;
  static constexpr int kLanes = 8, kRows = 4, kBlocks = 2;  // 8 sums, 2 weights, the input and temporaries

  static std::int64_t offset(const StepArgs&) { return 0; }
  static Sum load(const std::int32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static void store(std::int32_t* to, Sum sum) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), sum); }
  static Sum add(Sum a, Sum b) { return _mm256_add_epi32(a, b); }
  static Weights load_weights(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
  static __m256i broadcast(const std::uint32_t* from) { return _mm256_set1_epi32(static_cast<int>(*from)); }
  // (always_inline here: no copy may exist that the linker could share)
  __attribute__((always_inline)) static void finish(const StepArgs& args, const std::int32_t* sums,
                                                    std::int64_t channels, std::int64_t from, std::int64_t rows) {
    const avx2::Constants constants = avx2::constants_of(args);
    const auto get = [&](std::int64_t r, std::int64_t channel, int b) __attribute__((always_inline)) {
      const std::int64_t at = channel + 8 * b;
      return _mm256_add_epi32(load(sums + r * channels + at), load(constants.bias + at));
    };
    const auto store = [](const avx2::Constants& c, auto of, std::byte* const* to, std::int64_t count,
                          std::int64_t channel, std::int64_t left) {
      left > 8 ? avx2::store_pixels<2>(c, of, to, count, channel, left)
               : avx2::store_pixels<1>(c, of, to, count, channel, left);
    };
    finish_rows<Common256>(args, from, rows, constants, get, store);
  }
};

// Two 16-bit products a lane.
struct Words256 : Common256 {
  using Weight = std::int16_t;
  static constexpr int kGroup = 2;
  static void multiply_add(Sum& sum, __m256i x, Weights w) { sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, w)); }
};

// Rows as they are, up to 15 bytes past their end (activations are followed by readable bytes).
template <int kRows>
struct Reader256 {
  std::int64_t bytes;
  Reader256(const StepArgs& args, std::int64_t input_bytes) : bytes(args.inputs[0].c * input_bytes) {}
  __attribute__((always_inline)) void stage(const std::byte* from, std::uint32_t* to) const {
    for (std::int64_t i = 0; i < bytes; i += 16) {
      std::uint32_t* at = to + i / 64 * kRows * kChunk + i % 64 / 4;
      _mm_store_si128(reinterpret_cast<__m128i*>(at), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
    }
  }
};

}  // namespace octet::kernels::sparse
