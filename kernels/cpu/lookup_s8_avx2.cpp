// lookup_s8_avx2: see lookup_s8.h. vpshufb looks up 16 entries by the low four bits of a byte and gives 0 where bit 7
// is set. Counting a byte down by 16, it takes part in the look-ups of sixteenths 0, 1, ... up to its own and then
// turns negative; so each sixteenth holds the exclusive-or of itself with the one before, and the sum of all is the
// entry looked for. Bytes from 128 on are negative from the start: they get the upper half of the table, with bit 7
// flipped.
#include "kernels/cpu/lookup_s8.h"

#include <immintrin.h>

namespace octet::kernels {
namespace {

constexpr int kHalf = 8;  // sixteenths of a half

struct Traits {
  using Vector = __m256i;
  using Table = __m256i[2 * kHalf];
  static constexpr int kBytes = 32;

  static __m256i sixteenth(const std::uint8_t* bytes, int i) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 16 * i)));
  }
  static void load_table(const std::uint8_t* bytes, Table& table) {
    for (int i = 0; i < 2 * kHalf; ++i) {
      table[i] = sixteenth(bytes, i);
      if (i % kHalf != 0) table[i] = _mm256_xor_si256(table[i], sixteenth(bytes, i - 1));
    }
  }
  static Vector look_up(const Table& table, Vector low) {
    const __m256i step = _mm256_set1_epi8(16);
    Vector high = _mm256_xor_si256(low, _mm256_set1_epi8(static_cast<char>(0x80)));
    Vector found = _mm256_setzero_si256(), found_high = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int i = 0; i < kHalf; ++i) {
      found = _mm256_xor_si256(found, _mm256_shuffle_epi8(table[i], low));
      found_high = _mm256_xor_si256(found_high, _mm256_shuffle_epi8(table[kHalf + i], high));
      low = _mm256_subs_epi8(low, step), high = _mm256_subs_epi8(high, step);
    }
    return _mm256_xor_si256(found, found_high);
  }
  static Vector load(const std::uint8_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static void store(std::uint8_t* to, Vector v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v); }
  template <int R>
  static Vector blend(Vector a, Vector b) {
    alignas(32) static constexpr auto kMask = [] {
      struct Mask {
        std::uint8_t bytes[kBytes];
      } mask{};
      for (int i = 0; i < kBytes; ++i) mask.bytes[i] = i % 3 == R ? 0xFF : 0;
      return mask;
    }();
    return _mm256_blendv_epi8(a, b, load(kMask.bytes));
  }
};

}  // namespace

extern const Kernel lookup_s8_avx2;
const Kernel lookup_s8_avx2 = {
    .op = "lookup_s8", .isa = "avx2", .refuse = lookup::refuse, .tiles = window::rows, .run = lookup::run<Traits>};

}  // namespace octet::kernels
