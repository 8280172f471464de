// What the AVX512 sparse convolutions share: masked copies of gathered rows, lists by vpcompressd, and the epilogue.
#pragma once

#include "kernels/cpu/avx512.h"
#include "kernels/cpu/sparse_conv.h"

namespace octet::kernels::sparse {

// Copies rows into the stage, a cache line at a time; `flip` makes s8 unsigned by adding 128.
template <int kRows, int kInputBytes>
struct Reader512 {
  std::int64_t lines;
  __mmask64 last;
  __m512i flip;

  Reader512(const StepArgs& args, bool flips) {
    const std::int64_t bytes = std::int64_t{args.inputs[0].c} * kInputBytes;
    lines = (bytes + 63) / 64;
    last = ~std::uint64_t{0} >> (lines * 64 - bytes);
    flip = _mm512_set1_epi8(flips ? static_cast<char>(0x80) : 0);
  }
  __attribute__((always_inline)) void stage(const std::byte* from, std::uint32_t* to) const {
    for (std::int64_t line = 0; line + 1 < lines; ++line, from += 64, to += kRows * kChunk) {
      _mm512_store_si512(to, _mm512_xor_si512(_mm512_loadu_si512(from), flip));
    }
    _mm512_store_si512(to, _mm512_xor_si512(_mm512_maskz_loadu_epi8(last, from), flip));
  }
};

struct Common512 {
  using Sum = __m512i;
  using Weights = __m512i;
  using Scalar = std::int32_t;
  static constexpr int kLanes = 16, kRows = 14, kBlocks = 2;

  static Sum load(const std::int32_t* from) { return _mm512_loadu_si512(from); }
  static void store(std::int32_t* to, Sum sum) { _mm512_storeu_si512(to, sum); }
  static Sum add(Sum a, Sum b) { return _mm512_add_epi32(a, b); }
  static Weights load_weights(const void* from) { return _mm512_loadu_si512(from); }
  static __m512i broadcast(const std::uint32_t* from) { return _mm512_set1_epi32(static_cast<int>(*from)); }
  __attribute__((always_inline)) static std::int64_t list(const std::int32_t* map, std::int64_t rows,
                                                          std::int32_t* neighbour, std::int32_t* row) {
    std::int64_t count = 0;
    __m512i r = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (std::int64_t i = 0; i < rows; i += 16, r = _mm512_add_epi32(r, _mm512_set1_epi32(16))) {
      const __mmask16 inside = avx512::lanes(rows - i < 16 ? rows - i : 16);
      const __m512i from = _mm512_maskz_loadu_epi32(inside, map + i);
      const __mmask16 there = _mm512_mask_cmpge_epi32_mask(inside, from, _mm512_setzero_si512());
      _mm512_storeu_si512(neighbour + count, _mm512_maskz_compress_epi32(there, from));
      _mm512_storeu_si512(row + count, _mm512_maskz_compress_epi32(there, r));
      count += __builtin_popcount(there);
    }
    return count;
  }
  // (always_inline here: no copy may exist that the linker could share)
  __attribute__((always_inline)) static void finish(const StepArgs& args, const std::int32_t* sums,
                                                    std::int64_t channels, std::int64_t from, std::int64_t rows) {
    const avx512::Constants constants = avx512::constants_of(args);
    const auto get = [&](std::int64_t r, std::int64_t channel, int b) __attribute__((always_inline)) {
      const std::int32_t* at = sums + r * channels + channel + 16 * b;
      return _mm512_add_epi32(_mm512_loadu_si512(at), _mm512_loadu_si512(constants.bias + channel + 16 * b));
    };
    const auto store = [](const avx512::Constants& c, auto of, std::byte* const* to, std::int64_t count,
                          std::int64_t channel, std::int64_t left) {
      left > 16 ? avx512::store_pixels<2>(c, of, to, count, channel, left)
                : avx512::store_pixels<1>(c, of, to, count, channel, left);
    };
    finish_rows<Common512>(args, from, rows, constants, get, store);
  }
};

}  // namespace octet::kernels::sparse
