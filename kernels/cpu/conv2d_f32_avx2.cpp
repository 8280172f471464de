// conv2d_f32_avx2: direct convolution on fused multiply-add, 8 channels a vector. Float layers are outside of the
// same-bytes promise: fusing is allowed here, and wanted.
#include "kernels/cpu/avx2.h"
#include "kernels/cpu/direct_conv.h"

namespace octet::kernels {
namespace {

struct Constants {
  const float* bias;
  __m256 lo, hi;
};

struct Traits {
  using Input = float;
  using Weight = float;
  using Sum = __m256;
  using WeightVector = __m256;
  using Epilogue = Constants;
  static constexpr int kLanes = 8, kGroup = 1, kGroupMultiple = 1, kMaxBlocks = 2;

  static std::int64_t compensation_bytes(std::int64_t) { return 0; }
  static void set_compensation(void*, std::int64_t, std::int64_t) {}
  static Epilogue prepare(const StepArgs& args) {
    const auto& p = *static_cast<const ConvParams*>(args.params);
    return {p.bias, _mm256_set1_ps(p.lo), _mm256_set1_ps(p.hi)};
  }
  static std::int64_t output_size(const Epilogue&) { return 4; }
  static Sum start(const Epilogue& e, std::int64_t channel) { return _mm256_loadu_ps(e.bias + channel); }
  static WeightVector load_weights(const Weight* from) { return _mm256_loadu_ps(from); }
  static __m256 broadcast(const std::byte* from) { return _mm256_set1_ps(*reinterpret_cast<const float*>(from)); }
  static void multiply_add(Sum& sum, __m256 x, WeightVector w) { sum = _mm256_fmadd_ps(x, w, sum); }
  static int constants(const Epilogue&, std::int64_t) { return 0; }
  // vmaxps gives b when either is a NaN; a NaN in a is put back.
  static Sum max(Sum a, Sum b) { return _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q)); }
  // min / max give their second operand when one is a NaN: the sum stands there, so that a NaN is not lost.
  static void store(const Epilogue& e, int, Sum sum, std::int64_t count, std::byte* out) {
    const __m256 value = _mm256_min_ps(e.hi, _mm256_max_ps(e.lo, sum));
    avx2::store_floats(value, count, out);
  }
  template <class Call>
  static void dispatch(std::int64_t blocks, Call call) {
    // 12 sums, 2 weights and one input: 15 of 16 registers.
    if (blocks == 1) return call(direct::Number<12>(), direct::Number<1>());
    return call(direct::Number<6>(), direct::Number<2>());
  }
};

}  // namespace

extern const Kernel conv2d_f32_avx2;
const Kernel conv2d_f32_avx2 = {
    .op = "conv2d_f32",
    .isa = "avx2",
    .refuse = direct::refuse,
    .tiles = direct::tiles<Traits>,
    .run = direct::run<Traits>,
    .packed_bytes = direct::packed_bytes<Traits>,
    .pack = direct::pack<Traits>,
    .reads_halo = true,
    .fuses_max_pool = true,
};

}  // namespace octet::kernels
