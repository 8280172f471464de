// depthwise_s8_avx2: depthwise.h on vpmaddubsw + vpmaddwd, 32 channels (or bytes of a row) at a time. vpmaddubsw
// saturates at 16 bits, so this kernel takes only inputs within [0, 127] (conv2d_s8_avx2.cpp has the proof).
#include "kernels/cpu/avx2.h"
#include "kernels/cpu/depthwise.h"

namespace octet::kernels {
namespace {

struct Traits {
  using Vector = __m256i;
  using Constants = avx2::Constants;
  static constexpr std::int64_t kBytes = 32;
  static constexpr int kRows3 = 2, kRows5 = 2;  // 8 sums of 16 registers

  static bool flips(const StepArgs&) { return false; }
  static Constants constants_of(const StepArgs& args) { return avx2::constants_of(args); }

  template <bool>
  static Vector load(const std::byte* from) {
    return _mm256_loadu_si256(reinterpret_cast<const Vector*>(from));
  }
  static void interleave(Vector a, Vector b, Vector c, Vector d, Vector (&taps)[4]) {
    const Vector ab = _mm256_unpacklo_epi8(a, b), AB = _mm256_unpackhi_epi8(a, b);
    const Vector cd = _mm256_unpacklo_epi8(c, d), CD = _mm256_unpackhi_epi8(c, d);
    taps[0] = _mm256_unpacklo_epi16(ab, cd), taps[1] = _mm256_unpackhi_epi16(ab, cd);
    taps[2] = _mm256_unpacklo_epi16(AB, CD), taps[3] = _mm256_unpackhi_epi16(AB, CD);
  }
  static void multiply_add(Vector& sum, Vector x, const Vector& w) {
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), _mm256_set1_epi16(1)));
  }
  static void store(const Constants& e, const Vector (&sums)[4], const Vector* multipliers, std::int64_t count,
                    std::byte* out) {
    const auto integer = [&](int j) __attribute__((always_inline)) {
      return avx2::to_integer(e, sums[j], _mm256_castsi256_ps(multipliers[j]));
    };
    const Vector bytes = avx2::pack_bytes(e, integer(0), integer(1), integer(2), integer(3));
    if (count == 32) {
      _mm256_storeu_si256(reinterpret_cast<Vector*>(out), bytes);
    } else {
      alignas(32) std::byte all[32];
      _mm256_store_si256(reinterpret_cast<Vector*>(all), bytes);
      std::memcpy(out, all, static_cast<std::size_t>(count));
    }
  }
};

const char* refuse(const StepArgs& args) {
  const bool fits = static_cast<const ConvParams*>(args.params)->seven_bits;
  return fits ? depthwise::refuse(args) : "its inputs may leave [0, 127], where vpmaddubsw saturates";
}

}  // namespace

extern const Kernel depthwise_s8_avx2;
const Kernel depthwise_s8_avx2 = {
    .op = "depthwise_s8",
    .isa = "avx2",
    .refuse = refuse,
    .tiles = depthwise::tiles<Traits>,
    .run = depthwise::run<Traits>,
    .packed_bytes = depthwise::packed_bytes<Traits>,
    .pack = depthwise::pack<Traits>,
    .reads_halo = true,
};

}  // namespace octet::kernels
