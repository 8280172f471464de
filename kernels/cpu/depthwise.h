// Depthwise convolution on 8-bit dot products (vpdpbusd; on AVX2 vpmaddubsw + vpmaddwd), once for all.
//
// A dot product adds four neighbouring products into one sum, so the four must belong to one channel: four
// taps of a window row, of which each lies one pixel further on. Two rounds of unpacking interleave them:
//
//     pixel x    a0 a1 a2 ...            a0 b0 c0 d0 | a1 b1 c1 d1 | ...     channel 0: taps 0 to 3, channel 1, ...
//     pixel x+1  b0 b1 b2 ...     ->
//     pixel x+2  c0 c1 c2 ...            (kernel_w = 3: the fourth weight is 0; 5: two such groups)
//     pixel x+3  d0 d1 d2 ...
//
// Unpacking stays within 128-bit lanes: of the four results, number j holds bytes 16 k + 4 j .. + 3 in lane k. Weights,
// biases and multipliers are packed in that order, and packing the sums to bytes undoes it for nothing.
//
// With stride 1 an output row is one run of w * C bytes whose taps lie C bytes apart, so vectors need not care where a
// pixel ends: any C fills them. Which channels a vector holds repeats after C / gcd(C, vector) vectors: its phase. Then
// also several rows of outputs share each interleaved input row. With other strides (or gaps between the pixels) a
// vector is a block of channels of one pixel.
//
// Inputs that may be negative are flipped to q + 128 where a dot product wants unsigned ones (Flip): the packed bias
// has 128 * sum(w) taken off.
//
// Packed, for each phase: bias [vector] int32, multiplier [vector] f32, weights [kernel_h][group][4][vector].
#pragma once

#include <cstring>

#include "kernels/kernel.h"

namespace octet::kernels::depthwise {

constexpr int kTaps = 4;  // of one group

static constexpr std::int64_t greatest_common_divisor(std::int64_t a, std::int64_t b) {
  return b == 0 ? a : greatest_common_divisor(b, a % b);
}

static inline bool runs_flat(const StepArgs& args) {
  const View &in = args.inputs[0], &out = args.output;
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  return w.stride_h == 1 && w.stride_w == 1 && in.stride_w == in.c && out.stride_w == out.c;
}

[[maybe_unused]] static const char* refuse(const StepArgs& args) {
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Window& w = p.window;
  if (p.epilogue.form != Epilogue::Form::one_multiply) return "a notebook's or a float result";
  const bool known = w.kernel_h == w.kernel_w && (w.kernel_h == 3 || w.kernel_h == 5);
  return known && w.dilation_h == 1 && w.dilation_w == 1 ? nullptr : "its window is neither 3x3 nor 5x5, or dilated";
}

template <class Traits>
struct Packed {
  static constexpr std::int64_t kBytes = Traits::kBytes;
  std::int64_t channels, kernel, groups, phases;
  bool flat;

  explicit Packed(const StepArgs& args)
      : channels(args.inputs[0].c),
        kernel(static_cast<const ConvParams*>(args.params)->window.kernel_w),
        groups((kernel + kTaps - 1) / kTaps),
        flat(runs_flat(args)) {
    phases = flat ? channels / greatest_common_divisor(channels, kBytes) : (channels + kBytes - 1) / kBytes;
  }
  std::int64_t phase_bytes() const { return 8 * kBytes + kernel * groups * 4 * kBytes; }
  std::size_t bytes() const { return static_cast<std::size_t>(phases * phase_bytes()); }
  // The channel of byte `byte` of a phase's vector; may lie past the last one when not flat.
  std::int64_t channel(std::int64_t phase, std::int64_t byte) const {
    return flat ? (phase * kBytes + byte) % channels : phase * kBytes + byte;
  }
};

template <class Traits>
static std::size_t packed_bytes(const StepArgs& args) {
  return Packed<Traits>(args).bytes();
}

template <class Traits>
static void pack(const StepArgs& args, const void* source, void* packed) {
  const Packed<Traits> layout(args);
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const std::int64_t taps = layout.kernel * layout.kernel, bytes = Traits::kBytes;
  std::memset(packed, 0, layout.bytes());
  for (std::int64_t phase = 0; phase < layout.phases; ++phase) {
    std::byte* base = static_cast<std::byte*>(packed) + phase * layout.phase_bytes();
    for (std::int64_t byte = 0; byte < bytes; ++byte) {
      const std::int64_t c = layout.channel(phase, byte);
      if (c >= layout.channels) continue;
      const auto* weights = static_cast<const std::int8_t*>(source) + c * taps;
      // Byte 16 k + 4 j + i is element 4 k + i of result j.
      const std::int64_t result = byte % 16 / 4, element = byte / 16 * 4 + byte % 4,
                         slot = result * bytes / 4 + element;
      std::int32_t sum = 0;
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        const std::int64_t ky = tap / layout.kernel, kx = tap % layout.kernel;
        std::byte* vector = base + 8 * bytes + ((ky * layout.groups + kx / kTaps) * 4 + result) * bytes;
        vector[element * 4 + kx % kTaps] = static_cast<std::byte>(weights[tap]);
        sum += weights[tap];
      }
      const std::int32_t bias = p.epilogue.bias[c] - (Traits::flips(args) ? 128 * sum : 0);
      std::memcpy(base + slot * 4, &bias, 4);
      std::memcpy(base + 4 * bytes + slot * 4, &p.epilogue.multiplier[c], 4);
    }
  }
}

// One vector of Rows outputs, one below the other, Rows - 1 + K rows of inputs.
template <class Traits, int K, int Rows, bool Flip>
static inline void column(const typename Traits::Constants& e, const std::byte* input, std::int64_t row_step,
                          std::int64_t pixel_step, const std::byte* phase, std::byte* const* out, std::int64_t count) {
  using Vector = typename Traits::Vector;
  constexpr int kGroups = (K + kTaps - 1) / kTaps;
  const auto* constants = reinterpret_cast<const Vector*>(phase);
  const Vector* weights = constants + 8;
  Vector sums[Rows][4];
#pragma GCC unroll 8
  for (int row = 0; row < Rows; ++row) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) sums[row][j] = constants[j];
  }
#pragma GCC unroll 8
  for (int y = 0; y < Rows - 1 + K; ++y) {
#pragma GCC unroll 2
    for (int group = 0; group < kGroups; ++group) {
      const std::byte* from = input + y * row_step + group * kTaps * pixel_step;
      // A tap past the window has weight 0: any readable pixel will do.
      const int valid = K - group * kTaps;
      const Vector a = Traits::template load<Flip>(from);
      const Vector b = valid > 1 ? Traits::template load<Flip>(from + pixel_step) : a;
      const Vector c = valid > 2 ? Traits::template load<Flip>(from + 2 * pixel_step) : a;
      const Vector d = valid > 3 ? Traits::template load<Flip>(from + 3 * pixel_step) : a;
      Vector taps[4];
      Traits::interleave(a, b, c, d, taps);
#pragma GCC unroll 8
      for (int row = 0; row < Rows; ++row) {
        const int ky = y - row;
        if (ky < 0 || ky >= K) continue;
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j)
          Traits::multiply_add(sums[row][j], taps[j], weights[(ky * kGroups + group) * 4 + j]);
      }
    }
  }
#pragma GCC unroll 8
  for (int row = 0; row < Rows; ++row) Traits::store(e, sums[row], constants + 4, count, out[row]);
}

// Rows of outputs that are computed together.
template <class Traits, int K>
constexpr int kRowsTogether = K == 3 ? Traits::kRows3 : Traits::kRows5;

template <class Traits, int K, int Rows, bool Flip>
static void rows_of(const StepArgs& args, const Packed<Traits>& layout, const typename Traits::Constants& e,
                    std::int64_t n, std::int64_t oy) {
  const View &in = args.inputs[0], &out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Window& w = p.window;
  const auto* packed = static_cast<const std::byte*>(p.weights);
  const auto* input =
      reinterpret_cast<const std::byte*>(in.at<std::uint8_t>(n, oy * w.stride_h - w.pad_top, -w.pad_left));
  std::byte* output[Rows];
  for (int row = 0; row < Rows; ++row) output[row] = reinterpret_cast<std::byte*>(out.at<std::uint8_t>(n, oy + row, 0));
  const std::int64_t length = layout.flat ? std::int64_t{out.w} * out.c : out.c, bytes = Traits::kBytes;
  for (std::int64_t x = 0; x < (layout.flat ? 1 : out.w); ++x) {
    std::int64_t phase = 0;
    for (std::int64_t at = 0; at < length; at += bytes) {
      const std::int64_t count = length - at < bytes ? length - at : bytes;
      std::byte* to[Rows];
      for (int row = 0; row < Rows; ++row) to[row] = output[row] + x * out.stride_w + at;
      column<Traits, K, Rows, Flip>(e, input + x * w.stride_w * in.stride_w + at, in.stride_h, in.stride_w,
                                    packed + phase * layout.phase_bytes(), to, count);
      if (++phase == layout.phases) phase = 0;
    }
  }
}

// Tiles are rows of outputs, kRowsTogether of them where they share inputs.
template <class Traits, int K, bool Flip>
static void run_kernel(const StepArgs& args, std::int64_t first, std::int64_t last) {
  const Packed<Traits> layout(args);
  const auto e = Traits::constants_of(args);
  const std::int64_t together = layout.flat ? kRowsTogether<Traits, K> : 1;
  const std::int64_t bands = (args.output.h + together - 1) / together;
  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t n = tile / bands, from = tile % bands * together;
    if (from + together <= args.output.h && together > 1) {
      rows_of<Traits, K, kRowsTogether<Traits, K>, Flip>(args, layout, e, n, from);
      continue;
    }
    for (std::int64_t oy = from; oy < args.output.h && oy < from + together; ++oy) {
      rows_of<Traits, K, 1, Flip>(args, layout, e, n, oy);
    }
  }
}

template <class Traits>
static std::int64_t tiles(const StepArgs& args) {
  const int kernel = static_cast<const ConvParams*>(args.params)->window.kernel_w;
  const std::int64_t together = !runs_flat(args) ? 1
                                : kernel == 3    ? kRowsTogether<Traits, 3>
                                                 : kRowsTogether<Traits, 5>;
  return args.output.n * ((args.output.h + together - 1) / together);
}

template <class Traits>
static void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const bool small = static_cast<const ConvParams*>(args.params)->window.kernel_w == 3;
  if (Traits::flips(args))
    return (small ? run_kernel<Traits, 3, true> : run_kernel<Traits, 5, true>)(args, first, last);
  (small ? run_kernel<Traits, 3, false> : run_kernel<Traits, 5, false>)(args, first, last);
}

}  // namespace octet::kernels::depthwise
