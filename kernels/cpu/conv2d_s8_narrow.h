// Convolutions of one to four output channels (the maps of a detector's heads), on vpdpbusd. With a channel a lane
// three quarters of a vector or more would be padding; here a vector is 64 bytes of depth, and its 16 lanes are 16
// parts of one sum:
//
//     line      64 bytes of a window row, which lies in one piece: kernel_w * C bytes, padded with zero weights
//     sums      [P pixels][O channels] vectors, P * O <= 16: for each line P loads of inputs and O of weights
//     at last   the 16 vectors are transposed and added to one, whose lane p * O + o is the sum of pixel p, channel o
//
// Packed weights: the compensation of vnni.h (one vector), then [window row][line][channel][64 bytes].
#pragma once

#include <cstring>

#include "kernels/cpu/avx512vnni.h"

namespace octet::kernels::narrow {

struct Depth {
  std::int64_t run, lines, rows;  // bytes of a window row, its lines; window rows

  explicit Depth(const StepArgs& args) {
    const Window& w = static_cast<const ConvParams*>(args.params)->window;
    run = std::int64_t{w.kernel_w} * args.inputs[0].c;
    lines = (run + 63) / 64;
    rows = w.kernel_h;
  }
};

static std::size_t packed_bytes(const StepArgs& args) {
  const Depth d(args);
  return static_cast<std::size_t>(64 + d.rows * d.lines * args.output.c * 64);
}

static void pack(const StepArgs& args, const void* source, void* packed) {
  const Depth d(args);
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  const std::int64_t channels = args.inputs[0].c, outputs = args.output.c;
  std::memset(packed, 0, packed_bytes(args));
  const auto* from = static_cast<const std::int8_t*>(source);
  auto* to = static_cast<std::int8_t*>(packed) + 64;
  for (std::int64_t o = 0; o < outputs; ++o) {
    std::int64_t sum = 0;
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
        for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
          const std::int64_t at = kx * channels + c;
          to[((ky * d.lines + at / 64) * outputs + o) * 64 + at % 64] = *from;
          sum += *from++;
        }
      }
    }
    if (vnni::flips(args)) vnni::set_compensation(packed, o, sum);
  }
}

static std::int64_t tiles(const StepArgs& args) { return std::int64_t{args.output.n} * args.output.h; }

// The sums of each of 16 vectors' lanes, as one vector.
__attribute__((always_inline)) static inline __m512i sums_of(const __m512i (&v)[16]) {
  __m512i pairs[8], fours[4], eights[2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    pairs[i] =
        _mm512_add_epi32(_mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    fours[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(pairs[2 * i], pairs[2 * i + 1]),
                                _mm512_unpackhi_epi64(pairs[2 * i], pairs[2 * i + 1]));
  }
  // From here on 128-bit lanes are added: even ones to odd ones.
  const auto fold = [](__m512i a, __m512i b) __attribute__((always_inline)) {
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
  };
  eights[0] = fold(fours[0], fours[1]), eights[1] = fold(fours[2], fours[3]);
  return fold(eights[0], eights[1]);
}

// What lane p * O + o needs.
struct Lanes {
  __m512i start;
  __m512 multiplier;
};

// P pixels from `input` on, all O channels. Not inlined: as in direct_conv.h.
template <bool Flip, int P, int O>
__attribute__((noinline)) static __m512i micro(const std::byte* input, std::int64_t pixel_step, std::int64_t row_step,
                                               const Depth& d, const std::byte* weights) {
  static_assert(P * O <= 16);
  __m512i sums[P][O];
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o) sums[p][o] = _mm512_setzero_si512();
  }
  for (std::int64_t row = 0; row < d.rows; ++row, input += row_step) {
    const std::byte* line = input;
    for (std::int64_t l = 0; l < d.lines; ++l, line += 64, weights += 64 * O) {
      __m512i w[O];
#pragma GCC unroll 4
      for (int o = 0; o < O; ++o) w[o] = _mm512_loadu_si512(weights + 64 * o);
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) {
        __m512i x = _mm512_loadu_si512(line + p * pixel_step);
        if (Flip) x = _mm512_xor_si512(x, _mm512_set1_epi8(-128));
#pragma GCC unroll 4
        for (int o = 0; o < O; ++o) avx512vnni::Traits<false>::multiply_add(sums[p][o], x, w[o]);
      }
    }
  }
  __m512i all[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) all[i] = i < P * O ? sums[i < P * O ? i / O : 0][i % O] : _mm512_setzero_si512();
  return sums_of(all);
}

// The sums of some pixels to their outputs: rule 13 or rule 7.
template <int O>
__attribute__((always_inline)) static inline void store(const avx512::Constants& e, const Lanes& lanes, __m512i sums,
                                                        std::byte* to, std::int64_t step, std::int64_t pixels) {
  const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(sums, lanes.start)), lanes.multiplier);
  if (e.form == Epilogue::Form::real) {
    alignas(64) float values[16];
    _mm512_store_ps(values, value);
    for (std::int64_t p = 0; p < pixels; ++p, to += step) std::memcpy(to, values + p * O, O * sizeof(float));
    return;
  }
  const __m512i q = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(value, e.lo), e.hi));
  alignas(16) std::byte bytes[16];
  _mm_store_si128(reinterpret_cast<__m128i*>(bytes), _mm512_cvtepi32_epi8(_mm512_add_epi32(q, e.zero)));
  for (std::int64_t p = 0; p < pixels; ++p, to += step) std::memcpy(to, bytes + p * O, O);
}

// A tile is a row of outputs. Its last pixels are moved back to end with the row.
template <bool Flip, int O>
static void run_rows(const StepArgs& args, std::int64_t first, std::int64_t last) {
  constexpr int P = 16 / O;
  const View &in = args.inputs[0], &out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Window& w = p.window;
  const Depth d(args);
  const avx512::Constants e = avx512::constants_of(args);
  const auto* packed = static_cast<const std::byte*>(p.weights);
  const auto* compensation = reinterpret_cast<const std::int32_t*>(packed);
  alignas(64) std::int32_t start[16] = {};
  alignas(64) float multiplier[16] = {};
  for (int i = 0; i < P * O; ++i) {  // (sums wrap: rule 5)
    start[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(e.bias[i % O]) +
                                         static_cast<std::uint32_t>(compensation[i % O]));
    multiplier[i] = e.multiplier[i % O];
  }
  const Lanes lanes = {_mm512_load_si512(start), _mm512_load_ps(multiplier)};
  const std::int64_t pixel_step = w.stride_w * in.stride_w, row_step = w.dilation_h * in.stride_h;
  const std::int64_t size = e.form == Epilogue::Form::real ? 4 : 1, step = out.stride_w * size;
  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t n = tile / out.h, y = tile % out.h;
    const auto* input =
        reinterpret_cast<const std::byte*>(in.at<std::uint8_t>(n, y * w.stride_h - w.pad_top, -w.pad_left));
    std::byte* const row = out.data + (n * out.stride_n + y * out.stride_h) * size;
    if (out.w < P) {
      for (std::int64_t x = 0; x < out.w; ++x) {
        const __m512i sums = micro<Flip, 1, O>(input + x * pixel_step, pixel_step, row_step, d, packed + 64);
        store<O>(e, lanes, sums, row + x * step, step, 1);
      }
      continue;
    }
    for (std::int64_t x = 0; x < out.w; x += P) {
      const std::int64_t from = x + P <= out.w ? x : out.w - P;
      const __m512i sums = micro<Flip, P, O>(input + from * pixel_step, pixel_step, row_step, d, packed + 64);
      store<O>(e, lanes, sums, row + from * step, step, P);
    }
  }
}

template <bool Flip>
static void run(const StepArgs& args, std::int64_t first, std::int64_t last) {
  switch (args.output.c) {
    case 1:
      return run_rows<Flip, 1>(args, first, last);
    case 2:
      return run_rows<Flip, 2>(args, first, last);
    case 3:
      return run_rows<Flip, 3>(args, first, last);
    default:
      return run_rows<Flip, 4>(args, first, last);
  }
}

}  // namespace octet::kernels::narrow
