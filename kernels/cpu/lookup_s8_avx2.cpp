// lookup_s8_avx2: 32 bytes of a photo at a time through a table of 256 entries. vpshufb looks up 16 entries by the low
// four bits and gives 0 where bit 7 is set; so for each block of 16 entries the index is shifted by the block's number
// and saturated such that indices outside of the block have bit 7 set, and the sixteen results are joined by or.
//
// All channels must share one table (no mean or standard deviation of their own). Where the output's pixels are not
// dense (a slice of a concatenation) bytes go one by one.
#include <immintrin.h>

#include <cstring>

#include "kernels/kernel.h"

namespace octet::kernels {
namespace {

constexpr int kBlocks = 16;

// For index i and block b: (i - 16 b) as u8; entries of the block are 0..15. Adding 0x70 with unsigned saturation keeps
// the low bits of 0..15 and sets bit 7 of everything else.
inline __m256i lookup(const __m256i (&table)[kBlocks], __m256i index) {
  const __m256i bias = _mm256_set1_epi8(0x70), next = _mm256_set1_epi8(16);
  __m256i result = _mm256_setzero_si256();
  for (int b = 0; b < kBlocks; ++b) {
    result = _mm256_or_si256(result, _mm256_shuffle_epi8(table[b], _mm256_adds_epu8(index, bias)));
    index = _mm256_sub_epi8(index, next);
  }
  return result;
}

void look_up_run(const __m256i (&table)[kBlocks], const std::uint8_t* bytes, const std::uint8_t* from, std::uint8_t* to,
                 std::int64_t count) {
  std::int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    const __m256i index = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), lookup(table, index));
  }
  for (; i < count; ++i) to[i] = bytes[from[i]];
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto* bytes = static_cast<const std::uint8_t*>(static_cast<const LookupParams*>(args.params)->table);
  __m256i table[kBlocks];
  for (int b = 0; b < kBlocks; ++b) {
    table[b] = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 16 * b)));
  }
  const bool dense = in.stride_w == out.c && out.stride_w == out.c;
  const std::int64_t count = dense ? std::int64_t{out.w} * out.c : out.c;
  const std::int64_t runs = dense ? 1 : out.w;
  for (std::int64_t row = first; row < last; ++row) {
    for (std::int64_t x = 0; x < runs; ++x) {
      look_up_run(table, bytes, in.at<std::uint8_t>(row / out.h, row % out.h, x),
                  out.at<std::uint8_t>(row / out.h, row % out.h, x), count);
    }
  }
}

std::int64_t rows(const StepArgs& args) { return std::int64_t{args.output.n} * args.output.h; }

const char* refuse(const StepArgs& args) {
  const auto* table = static_cast<const std::uint8_t*>(static_cast<const LookupParams*>(args.params)->table);
  for (int c = 1; c < args.output.c; ++c) {
    if (std::memcmp(table, table + 256 * c, 256) != 0) return "the channels have different tables";
  }
  return nullptr;
}

}  // namespace

extern const Kernel lookup_s8_avx2;
const Kernel lookup_s8_avx2 = {.op = "lookup_s8", .isa = "avx2", .refuse = refuse, .tiles = rows, .run = run};

}  // namespace octet::kernels
