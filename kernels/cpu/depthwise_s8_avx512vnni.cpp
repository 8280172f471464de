// depthwise_s8_avx512vnni: depthwise.h on vpdpbusd, 64 channels (or bytes of a row) at a time. Inputs that may be
// negative are flipped to q + 128 as they are loaded, and 128 * sum(w) is taken off the bias when the weights are
// packed.
#include "kernels/cpu/avx512vnni.h"
#include "kernels/cpu/depthwise.h"

namespace octet::kernels {
namespace {

struct Traits {
  using Vector = __m512i;
  using Constants = avx512::Constants;
  static constexpr std::int64_t kBytes = 64;
  static constexpr int kRows3 = 4, kRows5 = 4;  // 16 sums of 32 registers

  static bool flips(const StepArgs& args) { return vnni::flips(args); }
  static Constants constants_of(const StepArgs& args) { return avx512::constants_of(args); }

  template <bool Flip>
  static Vector load(const std::byte* from) {
    const Vector v = _mm512_loadu_si512(from);
    return Flip ? _mm512_xor_si512(v, _mm512_set1_epi8(-128)) : v;
  }
  static void interleave(Vector a, Vector b, Vector c, Vector d, Vector (&taps)[4]) {
    const Vector ab = _mm512_unpacklo_epi8(a, b), AB = _mm512_unpackhi_epi8(a, b);
    const Vector cd = _mm512_unpacklo_epi8(c, d), CD = _mm512_unpackhi_epi8(c, d);
    taps[0] = _mm512_unpacklo_epi16(ab, cd), taps[1] = _mm512_unpackhi_epi16(ab, cd);
    taps[2] = _mm512_unpacklo_epi16(AB, CD), taps[3] = _mm512_unpackhi_epi16(AB, CD);
  }
  // As assembly: with the intrinsic, g++ 12 spills the sums.
  static void multiply_add(Vector& sum, Vector x, const Vector& w) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "m"(w));
  }
  static void store(const Constants& e, const Vector (&sums)[4], const Vector* multipliers, std::int64_t count,
                    std::byte* out) {
    const auto integer = [&](int j) __attribute__((always_inline)) {
      return avx512::to_integer(e, sums[j], _mm512_castsi512_ps(multipliers[j]));
    };
    const Vector bytes = avx512::pack_bytes(e, integer(0), integer(1), integer(2), integer(3));
    if (count == 64) {
      _mm512_storeu_si512(out, bytes);
    } else {
      _mm512_mask_storeu_epi8(out, (__mmask64{1} << count) - 1, bytes);
    }
  }
};

}  // namespace

extern const Kernel depthwise_s8_avx512vnni;
const Kernel depthwise_s8_avx512vnni = {
    .op = "depthwise_s8",
    .isa = "avx512vnni",
    .refuse = depthwise::refuse,
    .tiles = depthwise::tiles<Traits>,
    .run = depthwise::run<Traits>,
    .packed_bytes = depthwise::packed_bytes<Traits>,
    .pack = depthwise::pack<Traits>,
    .reads_halo = true,
};

}  // namespace octet::kernels
