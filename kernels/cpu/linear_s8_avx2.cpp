// linear_s8_avx2: eight outputs at a time, 32 features a step. vpmaddubsw multiplies unsigned by signed bytes and adds
// pairs into 16 bits. It is exact here, for every input:
//  - inputs within [0, 127] are the unsigned operand (a pair is at most 2 * 127 * 127);
//  - other s8 inputs x give their magnitude to the unsigned operand and their sign to the weight: |x| * (sign(x) w),
//    at most 2 * 128 * 127 < 2^15 even where an imported edge holds -128;
//  - u8 inputs above 127 are read as x - 128, which is such an s8; 128 * sum(w) makes up for it, in each output's
//  start.
//
// Packed weights: [outputs padded to 8] int32 of 128 * sum(w) or 0, then [outputs padded to 8][features padded to 32].
#include "kernels/cpu/direct_conv.h"
#include "kernels/cpu/lanes_avx2.h"
#include "kernels/cpu/to_bytes.h"

namespace octet::kernels {
namespace {

using avx2::Lanes;

constexpr std::int64_t kRows = 8, kStep = 32;
constexpr std::int64_t kBlock = 32;  // outputs of one tile: one vector of bytes

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
std::int64_t features(const StepArgs& args) {
  const View& in = args.inputs[0];
  return std::int64_t{in.h} * in.w * in.c;
}
std::int64_t depth(const StepArgs& args) { return round_up(features(args), kStep); }
std::int64_t outputs(const StepArgs& args) { return round_up(args.output.c, kRows); }
std::int64_t tiles(const StepArgs& args) { return (args.output.c + kBlock - 1) / kBlock; }

bool seven_bits(const StepArgs& args) { return static_cast<const ConvParams*>(args.params)->seven_bits; }
bool flips(const StepArgs& args) { return args.inputs[0].type == DType::u8 && !seven_bits(args); }

std::size_t packed_bytes(const StepArgs& args) { return static_cast<std::size_t>(outputs(args) * (4 + depth(args))); }

void pack(const StepArgs& args, const void* weights, void* packed) {
  std::memset(packed, 0, packed_bytes(args));
  const auto* source = static_cast<const std::int8_t*>(weights);
  auto* sums = static_cast<std::int32_t*>(packed);
  auto* rows = reinterpret_cast<std::int8_t*>(sums + outputs(args));
  for (std::int64_t o = 0; o < args.output.c; ++o, source += features(args)) {
    std::memcpy(rows + o * depth(args), source, static_cast<std::size_t>(features(args)));
    if (!flips(args)) continue;
    for (std::int64_t k = 0; k < features(args); ++k) sums[o] += 128 * source[k];
  }
}

std::size_t scratch_bytes(const StepArgs& args) { return static_cast<std::size_t>(args.inputs[0].n * depth(args)); }

// The features of one image as one row of s8 (or seven bits); what pads it meets weights of 0.
void gather(const StepArgs& args, std::int64_t n, std::uint8_t* row) {
  const View& in = args.inputs[0];
  const std::uint8_t flip = flips(args) ? 0x80 : 0;
  std::uint8_t* to = row;
  for (std::int64_t y = 0; y < in.h; ++y) {
    for (std::int64_t x = 0; x < in.w; ++x, to += in.c) {
      const auto* from = in.at<std::uint8_t>(n, y, x);
      for (std::int64_t c = 0; c < in.c; ++c) to[c] = from[c] ^ flip;
    }
  }
  for (; to < row + depth(args); ++to) *to = 0;
}

template <bool SevenBits>
__m256i dot_32(__m256i x, __m256i magnitude, const std::int8_t* weights) {
  const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
  const __m256i pairs = _mm256_maddubs_epi16(magnitude, SevenBits ? w : _mm256_sign_epi8(w, x));
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

// The sums of eight rows, each `depth` long, with one image.
template <bool SevenBits>
__m256i dot_rows(const std::uint8_t* row, const std::int8_t* weights, std::int64_t depth) {
  __m256i sums[kRows];
  for (auto& sum : sums) sum = _mm256_setzero_si256();
  for (std::int64_t k = 0; k < depth; k += kStep) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + k));
    const __m256i magnitude = SevenBits ? x : _mm256_abs_epi8(x);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      sums[r] = _mm256_add_epi32(sums[r], dot_32<SevenBits>(x, magnitude, weights + r * depth + k));
    }
  }
  // Eight horizontal sums at once: within halves of the registers, then the halves.
  const __m256i low = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));
  const __m256i high = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[4], sums[5]), _mm256_hadd_epi32(sums[6], sums[7]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31));
}

struct Weights {
  const std::int32_t* starts;  // 128 * sum(w) or 0
  const std::int8_t* rows;
};

// fl(acc) * m (rules 7 and 13) of a tile's 32 outputs for one image.
void multiply(const StepArgs& args, const Weights& weights, const std::uint8_t* row, std::int64_t first,
              __m256 (&values)[4]) {
  const Epilogue& e = static_cast<const ConvParams*>(args.params)->epilogue;
  const auto dot = seven_bits(args) ? dot_rows<true> : dot_rows<false>;
  for (int i = 0; i < 4; ++i) {
    const std::int64_t o = first + i * kRows;
    values[i] = _mm256_setzero_ps();
    if (o >= args.output.c) continue;
    const auto load = [o](const std::int32_t* from) {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + o));
    };
    const __m256i start = _mm256_add_epi32(load(e.bias), load(weights.starts));
    const __m256i sum = _mm256_add_epi32(start, dot(row, weights.rows + o * depth(args), depth(args)));
    values[i] = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_loadu_ps(e.multiplier + o));
  }
}

void store_floats(const __m256 (&values)[4], std::int64_t count, float* to) {
  for (int i = 0; i < 4 && count > 0; ++i, to += kRows, count -= kRows) {
    if (count >= kRows) {
      Lanes::store(to, values[i]);
    } else {
      Lanes::store(to, values[i], count);
    }
  }
}

template <class T>
void store_bytes(const Epilogue& e, const __m256 (&values)[4], std::int64_t count, std::byte* to) {
  const __m256i bytes = ToBytes<Lanes, T>::of(e.lo, e.hi, e.zero)(values);
  if (count >= kBlock) {
    Lanes::store_bytes(to, bytes);
  } else {
    Lanes::store_bytes(to, bytes, count);
  }
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  const View& out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const auto* starts = static_cast<const std::int32_t*>(p.weights);
  const Weights weights{starts, reinterpret_cast<const std::int8_t*>(starts + outputs(args))};
  auto* rows = static_cast<std::uint8_t*>(scratch);
  for (std::int64_t n = 0; n < out.n; ++n) gather(args, n, rows + n * depth(args));
  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t o = tile * kBlock, count = out.c - o;
    for (std::int64_t n = 0; n < out.n; ++n) {
      __m256 values[4];
      multiply(args, weights, rows + n * depth(args), o, values);
      if (out.type == DType::f32) {
        store_floats(values, count, out.at<float>(n, 0, 0, o));
      } else if (out.type == DType::u8) {
        store_bytes<std::uint8_t>(p.epilogue, values, count, out.at<std::byte>(n, 0, 0, o));
      } else {
        store_bytes<std::int8_t>(p.epilogue, values, count, out.at<std::byte>(n, 0, 0, o));
      }
    }
  }
}

}  // namespace

extern const Kernel linear_s8_avx2;
const Kernel linear_s8_avx2 = {
    .op = "linear_s8",
    .isa = "avx2",
    .refuse = refuse_notebook,
    .tiles = tiles,
    .run = run,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
};

}  // namespace octet::kernels
