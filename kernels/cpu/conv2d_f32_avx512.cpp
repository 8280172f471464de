// conv2d_f32_avx512: direct convolution on fused multiply-add, 16 channels a vector. Float layers are outside of the
// same-bytes promise: fusing is allowed here, and wanted.
#include <immintrin.h>

#include "kernels/cpu/direct_conv.h"

namespace octet::kernels {
namespace {

struct Constants {
  const float* bias;
  __m512 lo, hi;
};

struct Traits {
  using Input = float;
  using Weight = float;
  using Sum = __m512;
  using WeightVector = __m512;
  using Epilogue = Constants;
  static constexpr int kLanes = 16, kGroup = 1, kGroupMultiple = 1, kMaxBlocks = 4;

  static std::int64_t compensation_bytes(std::int64_t) { return 0; }
  static void set_compensation(void*, std::int64_t, std::int64_t) {}
  static Epilogue prepare(const StepArgs& args) {
    const auto& p = *static_cast<const ConvParams*>(args.params);
    return {p.bias, _mm512_set1_ps(p.lo), _mm512_set1_ps(p.hi)};
  }
  static std::int64_t output_size(const Epilogue&) { return 4; }
  static Sum start(const Epilogue& e, std::int64_t channel) { return _mm512_loadu_ps(e.bias + channel); }
  static WeightVector load_weights(const Weight* from) { return _mm512_loadu_ps(from); }
  static __m512 broadcast(const std::byte* from) { return _mm512_set1_ps(*reinterpret_cast<const float*>(from)); }
  static void multiply_add(Sum& sum, __m512 x, WeightVector w) { sum = _mm512_fmadd_ps(x, w, sum); }
  static int constants(const Epilogue&, std::int64_t) { return 0; }
  // vmaxps gives b when either is a NaN; a NaN in a is put back.
  static Sum max(Sum a, Sum b) {
    return _mm512_mask_mov_ps(_mm512_max_ps(a, b), _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), a);
  }
  // min / max give their second operand when one is a NaN: the sum stands there, so that a NaN is not lost.
  static void store(const Epilogue& e, int, Sum sum, std::int64_t count, std::byte* out) {
    const __m512 value = _mm512_min_ps(e.hi, _mm512_max_ps(e.lo, sum));
    _mm512_mask_storeu_ps(out, static_cast<__mmask16>((1u << count) - 1), value);
  }
  template <class Call>
  static void dispatch(std::int64_t blocks, Call call) {
    switch (blocks) {
      case 1:
        return call(direct::Number<16>(), direct::Number<1>());
      case 2:
        return call(direct::Number<12>(), direct::Number<2>());
      case 3:
        return call(direct::Number<8>(), direct::Number<3>());
      default:
        return call(direct::Number<6>(), direct::Number<4>());
    }
  }
};

}  // namespace

extern const Kernel conv2d_f32_avx512;
const Kernel conv2d_f32_avx512 = {
    .op = "conv2d_f32",
    .isa = "avx512",
    .refuse = direct::refuse,
    .tiles = direct::tiles<Traits>,
    .run = direct::run<Traits>,
    .packed_bytes = direct::packed_bytes<Traits>,
    .pack = direct::pack<Traits>,
    .reads_halo = true,
    .fuses_max_pool = true,
};

}  // namespace octet::kernels
