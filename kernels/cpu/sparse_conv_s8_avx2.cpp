// sparse_conv_s8_avx2: vpmaddubsw where rule 5 proves that it cannot saturate (inputs within [0, 127]); otherwise rows
// are widened to 16 bits as they are gathered, and vpmaddwd does the rest. As conv2d_s8_avx2.
#include "kernels/cpu/sparse_conv_avx2.h"

namespace octet::kernels {
namespace {

struct Bytes : sparse::Common256 {
  using Weight = std::int8_t;
  static constexpr int kGroup = 4, kInputBytes = 1;
  struct Reader : sparse::Reader256<kRows> {
    explicit Reader(const StepArgs& args) : Reader256(args, 1) {}
  };
  static void multiply_add(Sum& sum, __m256i x, Weights w) {
    const __m256i pairs = _mm256_maddubs_epi16(x, w);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

struct Widened : sparse::Words256 {
  static constexpr int kInputBytes = 1;
  struct Reader {
    std::int64_t channels;
    bool is_unsigned;
    explicit Reader(const StepArgs& args) : channels(args.inputs[0].c), is_unsigned(args.inputs[0].type == DType::u8) {}
    __attribute__((always_inline)) void stage(const std::byte* from, std::uint32_t* to) const {
      for (std::int64_t c = 0; c < channels; c += 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + c));
        const __m256i words = is_unsigned ? _mm256_cvtepu8_epi16(bytes) : _mm256_cvtepi8_epi16(bytes);
        std::uint32_t* at = to + c / 32 * kRows * sparse::kChunk + c % 32 / 2;
        _mm256_store_si256(reinterpret_cast<__m256i*>(at), words);
      }
    }
  };
};

bool fits_bytes(const StepArgs& args) { return static_cast<const ConvParams*>(args.params)->seven_bits; }

std::size_t packed_bytes(const StepArgs& args) {
  return (fits_bytes(args) ? sparse::packed_bytes<Bytes> : sparse::packed_bytes<Widened>)(args);
}
void pack(const StepArgs& args, const void* weights, void* packed) {
  (fits_bytes(args) ? sparse::pack<Bytes> : sparse::pack<Widened>)(args, weights, packed);
}
std::size_t scratch_bytes(const StepArgs& args) {
  return (fits_bytes(args) ? sparse::scratch_bytes<Bytes> : sparse::scratch_bytes<Widened>)(args);
}
void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  (fits_bytes(args) ? sparse::run<Bytes> : sparse::run<Widened>)(args, first, last, scratch);
}

}  // namespace

extern const Kernel sparse_conv_s8_avx2;
const Kernel sparse_conv_s8_avx2 = {
    .op = "sparse_conv_s8",
    .isa = "avx2",
    .refuse = refuse_notebook,
    .tiles = sparse::tiles,
    .run = run,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
};

}  // namespace octet::kernels
