// conv2d_s8_avx2: direct convolution on vpmaddubsw + vpmaddwd: four products of unsigned inputs and signed weights are
// added to each 32-bit sum. vpmaddubsw saturates at 16 bits, so this kernel takes only steps for which rule 5 proves
// that it cannot: inputs within [0, 127] and weights within [-127, 127] make pairs of at most 32,258. Post-ReLU
// activations and reduce_range are of that kind.
#include "kernels/cpu/avx2.h"
#include "kernels/cpu/direct_conv.h"

namespace octet::kernels {
namespace {

struct Traits {
  using Input = std::uint8_t;
  using Weight = std::int8_t;
  using Sum = __m256i;
  using WeightVector = __m256i;
  using Epilogue = avx2::Constants;
  static constexpr int kLanes = 8, kGroup = 4, kGroupMultiple = 1, kMaxBlocks = 2;

  static std::int64_t compensation_bytes(std::int64_t) { return 0; }
  static void set_compensation(void*, std::int64_t, std::int64_t) {}
  static Epilogue prepare(const StepArgs& args) { return avx2::constants_of(args); }
  static std::int64_t output_size(const Epilogue& e) { return e.form == kernels::Epilogue::Form::real ? 4 : 1; }
  static Sum start(const Epilogue& e, std::int64_t channel) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(e.bias + channel));
  }
  static WeightVector load_weights(const Weight* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static __m256i broadcast(const std::byte* from) {
    std::int32_t four;
    std::memcpy(&four, from, 4);
    return _mm256_set1_epi32(four);
  }
  static void multiply_add(Sum& sum, __m256i x, WeightVector w) {
    const __m256i pairs = _mm256_maddubs_epi16(x, w);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static __m256 constants(const Epilogue& e, std::int64_t channel) { return _mm256_loadu_ps(e.multiplier + channel); }
  static Sum max(Sum a, Sum b) { return _mm256_max_epi32(a, b); }
  static void store(const Epilogue& e, __m256 multiplier, Sum sum, std::int64_t count, std::byte* out) {
    avx2::store(e, multiplier, sum, count, out);
  }
  // 8 sums, 2 weights, the input, the pair and the ones: 13 of 16 registers.
  template <class Call>
  static void dispatch(std::int64_t blocks, Call call) {
    if (blocks == 1) return call(direct::Number<8>(), direct::Number<1>());
    return call(direct::Number<4>(), direct::Number<2>());
  }
};

const char* refuse(const StepArgs& args) {
  if (const char* reason = direct::refuse_notebook(args)) return reason;
  const bool fits = static_cast<const ConvParams*>(args.params)->seven_bits;
  return fits ? direct::refuse(args) : "its inputs may leave [0, 127], where vpmaddubsw saturates";
}

}  // namespace

extern const Kernel conv2d_s8_avx2;
const Kernel conv2d_s8_avx2 = {
    .op = "conv2d_s8",
    .isa = "avx2",
    .refuse = refuse,
    .tiles = direct::tiles<Traits>,
    .run = direct::run<Traits>,
    .packed_bytes = direct::packed_bytes<Traits>,
    .pack = direct::pack<Traits>,
    .reads_halo = true,
    .fuses_max_pool = true,
    .tile = direct::tile<Traits>,
};

}  // namespace octet::kernels
