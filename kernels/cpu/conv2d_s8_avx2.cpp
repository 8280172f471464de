// conv2d_s8_avx2: direct convolution in two ways.
//
// vpmaddubsw + vpmaddwd add four products of unsigned inputs and signed weights to each 32-bit sum. vpmaddubsw
// saturates at 16 bits, so only steps qualify for which rule 5 proves that it cannot: inputs within [0, 127] and
// weights within
// [-127, 127] make pairs of at most 32,258. Post-ReLU activations and reduce_range are of that kind.
//
// All others: inputs are widened to 16 bits once, and vpmaddwd alone adds two products at a time. (Making the inputs
// positive with vpsignb instead costs a third multiplication-port instruction for each four products; this costs less.)
#include "kernels/cpu/avx2.h"
#include "kernels/cpu/direct_conv.h"

namespace octet::kernels {
namespace {

struct Common {
  using Sum = __m256i;
  using WeightVector = __m256i;
  using Epilogue = avx2::Constants;
  static constexpr int kLanes = 8, kGroupMultiple = 1, kMaxBlocks = 2;

  static std::int64_t compensation_bytes(std::int64_t) { return 0; }
  static void set_compensation(void*, std::int64_t, std::int64_t) {}
  static Epilogue prepare(const StepArgs& args) { return avx2::constants_of(args); }
  static std::int64_t output_size(const Epilogue& e) { return e.form == kernels::Epilogue::Form::real ? 4 : 1; }
  static Sum start(const Epilogue& e, std::int64_t channel) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(e.bias + channel));
  }
  static WeightVector load_weights(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
  static __m256i broadcast(const std::byte* from) {  // four bytes, or two 16-bit numbers
    std::int32_t four;
    std::memcpy(&four, from, 4);
    return _mm256_set1_epi32(four);
  }
  static Sum max(Sum a, Sum b) { return _mm256_max_epi32(a, b); }
  template <int B, class Get>
  static void store_all(const Epilogue& e, Get get, std::byte* const* out, std::int64_t count, std::int64_t channel,
                        std::int64_t channels) {
    avx2::store_pixels<B>(e, get, out, count, channel, channels);
  }
  // 8 sums, 2 weights, the input, the pair and the ones: 13 of 16 registers.
  template <class Call>
  static void dispatch(std::int64_t blocks, Call call) {
    if (blocks == 1) return call(direct::Number<8>(), direct::Number<1>());
    return call(direct::Number<4>(), direct::Number<2>());
  }
};

struct Bytes : Common {
  using Input = std::uint8_t;
  using Weight = std::int8_t;
  static constexpr int kGroup = 4;
  static void multiply_add(Sum& sum, __m256i x, WeightVector w) {
    const __m256i pairs = _mm256_maddubs_epi16(x, w);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

struct Wide : Common {
  using Input = std::int16_t;
  using Weight = std::int16_t;
  using Source = std::int8_t;
  static constexpr int kGroup = 2;
  static void multiply_add(Sum& sum, __m256i x, WeightVector w) {
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, w));
  }
};

bool fits_bytes(const StepArgs& args) { return static_cast<const ConvParams*>(args.params)->seven_bits; }

// (Both have as many tiles: they differ in the inputs' form alone.)
std::size_t packed_bytes(const StepArgs& args) {
  return (fits_bytes(args) ? direct::packed_bytes<Bytes> : direct::packed_bytes<Wide>)(args);
}
void pack(const StepArgs& args, const void* weights, void* packed) {
  (fits_bytes(args) ? direct::pack<Bytes> : direct::pack<Wide>)(args, weights, packed);
}
std::size_t scratch_bytes(const StepArgs& args) {
  if (fits_bytes(args)) return 0;
  return static_cast<std::size_t>(2 * direct::input_span(args).count + 2 * View::kReadableBeyond);
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  if (fits_bytes(args)) return direct::run<Bytes>(args, first, last, nullptr);
  View input = args.inputs[0];
  const direct::Span span = direct::input_span(args);
  auto* to = static_cast<std::int16_t*>(scratch);
  const bool is_unsigned = input.type == DType::u8;
  for (std::int64_t i = 0; i < span.count; i += 16) {  // up to 15 bytes past the end are readable
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(input.data + span.first + i));
    const __m256i words = is_unsigned ? _mm256_cvtepu8_epi16(bytes) : _mm256_cvtepi8_epi16(bytes);
    _mm256_store_si256(reinterpret_cast<__m256i*>(to + i), words);
  }
  input.data = reinterpret_cast<std::byte*>(to - span.first);
  StepArgs wide = args;
  wide.inputs = &input;
  direct::run<Wide>(wide, first, last, nullptr);
}

}  // namespace

extern const Kernel conv2d_s8_avx2;
const Kernel conv2d_s8_avx2 = {
    .op = "conv2d_s8",
    .isa = "avx2",
    .refuse = direct::refuse,
    .tiles = direct::tiles<Bytes>,
    .run = run,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
    .reads_halo = true,
    .fuses_max_pool = true,
    .tile = direct::tile<Bytes>,
};

}  // namespace octet::kernels
