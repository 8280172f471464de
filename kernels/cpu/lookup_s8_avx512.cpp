// lookup_s8_avx512: see lookup_s8.h. AVX512-VBMI's vpermi2b looks up 128 bytes at once, so a table is two of them and a
// choice by bit 7. VBMI is not part of this level, so processors without it are refused.
#pragma GCC target("avx512vbmi")

#include "kernels/cpu/lookup_s8.h"

#include <immintrin.h>

namespace octet::kernels {
namespace {

struct Traits {
  using Vector = __m512i;
  using Table = __m512i[4];
  static constexpr int kBytes = 64;

  static void load_table(const std::uint8_t* bytes, Table& table) {
    for (int i = 0; i < 4; ++i) table[i] = _mm512_loadu_si512(bytes + 64 * i);
  }
  static Vector look_up(const Table& table, Vector index) {
    const __m512i low = _mm512_permutex2var_epi8(table[0], index, table[1]);
    const __m512i high = _mm512_permutex2var_epi8(table[2], index, table[3]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high);
  }
  static Vector load(const std::uint8_t* from) { return _mm512_loadu_si512(from); }
  static void store(std::uint8_t* to, Vector v) { _mm512_storeu_si512(to, v); }
  template <int R>
  static Vector blend(Vector a, Vector b) {
    constexpr std::uint64_t kEveryThird = 0x9249249249249249u;  // bits 0, 3, 6, ..., 63
    return _mm512_mask_blend_epi8(kEveryThird << R, a, b);
  }
};

const char* refuse(const StepArgs& args) {
  return __builtin_cpu_supports("avx512vbmi") ? lookup::refuse(args) : "this processor lacks AVX512-VBMI";
}

}  // namespace

extern const Kernel lookup_s8_avx512;
const Kernel lookup_s8_avx512 = {
    .op = "lookup_s8", .isa = "avx512", .refuse = refuse, .tiles = window::rows, .run = lookup::run<Traits>};

}  // namespace octet::kernels
