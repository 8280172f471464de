// conv2d_f32 for vector instruction sets: direct convolution on fused multiply-add, without im2col. Float layers are
// outside of the same-bytes promise: fusing is allowed here, and wanted.
//
// The micro-kernel holds R rows x Q output pixels x B vectors of output channels in registers. For each input element
// of the window it loads B vectors of weights and broadcasts R * Q inputs:
//
//                      vector 0       vector 1
//            weights  [c0 .. c15]    [c16 .. c31]
//     pixel 0   x0 ->  sum[0][0]      sum[0][1]
//     pixel 1   x1 ->  sum[1][0]      sum[1][1]
//       ...
//
// Wide maps take Q of up to 14 pixels of one row (MobileNet's and ResNet's maps are multiples of 7 wide), maps at most
// 7 wide take two rows at once, and so does a fused 2x2 max-pool. A 1x1 convolution without border sees all pixels of
// an image as one row. Rows are cut into pieces of equal width, so that no piece is left with a pixel or two.
//
// Packed weights: [channel group][window row][tap][input channel][B][lane]; the last group may have fewer vectors.
#pragma once

#include <cstring>

#include "kernels/cpu/numbers.h"
#include "kernels/kernel.h"

namespace octet::kernels::conv_f32 {

constexpr int kVectors = 2;   // B: vectors of channels of one group
constexpr int kAhead = 1024;  // floats of weights to prefetch: 4 kB, for weights that stream from the third-level cache

// Pixels of a row at once. 14 is also as many as can be addressed without a pointer each: see Steps.
template <class L>
constexpr int most_pixels(int rows, int vectors) {
  return L::kSums / (rows * vectors) < 14 ? L::kSums / (rows * vectors) : 14;
}

struct Geometry {
  std::int64_t window_rows = 1, taps = 1;   // runs of input elements of one output pixel
  std::int64_t run_bytes = 4;               // of one run
  std::int64_t row_step = 0, tap_step = 0;  // bytes from one run to the next
  std::int64_t pixel_step = 0;              // bytes from one output pixel's inputs to the next one's
  std::int64_t output_row_step = 0;         // bytes from one output row's inputs to the next one's
  std::int64_t depth = 1;                   // elements of all runs
};

// Where a micro-kernel's sums go: `count` channels from `data` on, pixels and rows some bytes apart.
struct Target {
  std::byte* data = nullptr;
  std::int64_t pixel_step = 0, row_step = 0;
  std::int64_t count = 0;
};

struct Activation {
  const float* bias = nullptr;
  float lo = 0, hi = 0;
};

// Pixel q's input is q steps from the first one's. Fourteen pointers are more than x86 has registers for; but it
// multiplies an index by 1, 2, 4 or 8 for nothing, so the odd multiples of the step, seven of them, reach all. As
// assembly, since the compiler would turn the addresses into fourteen pointers again and spill them.
template <int Q>
struct Steps {
  static constexpr int kCount = Q < 2 ? 1 : Q / 2;
  std::int64_t odd[kCount];

  explicit Steps(std::int64_t step) {
    for (int i = 0; i < kCount; ++i) odd[i] = (2 * i + 1) * step;
  }
  // All lanes: the float q steps behind `first`.
  template <class Float>
  __attribute__((always_inline)) Float broadcast(const std::byte* first, int q) const {
    Float value;
    if (q == 0) {
      asm("vbroadcastss (%1), %0" : "=v"(value) : "r"(first));
      return value;
    }
    const int shift = __builtin_ctz(static_cast<unsigned>(q));
    const std::int64_t index = odd[q >> shift >> 1];
    switch (shift) {
      case 0:
        asm("vbroadcastss (%1,%2,1), %0" : "=v"(value) : "r"(first), "r"(index));
        break;
      case 1:
        asm("vbroadcastss (%1,%2,2), %0" : "=v"(value) : "r"(first), "r"(index));
        break;
      case 2:
        asm("vbroadcastss (%1,%2,4), %0" : "=v"(value) : "r"(first), "r"(index));
        break;
      default:
        asm("vbroadcastss (%1,%2,8), %0" : "=v"(value) : "r"(first), "r"(index));
    }
    return value;
  }
};

template <class L>
__attribute__((always_inline)) static inline void store(typename L::Float sum, typename L::Float lo,
                                                        typename L::Float hi, std::byte* to, std::int64_t count) {
  // min and max give their second operand when one is a NaN: the sum stands there, so that a NaN is not lost.
  const auto value = L::min(hi, L::max(lo, sum));
  if (count >= L::kFloats) {
    L::store(reinterpret_cast<float*>(to), value);
  } else {
    L::store(reinterpret_cast<float*>(to), value, count);
  }
}

// Not inlined, and every loop over r, q and b unrolled: `sums` is only indexed by constants and lives in registers.
template <class L, int R, int Q, int B, bool Pool>
__attribute__((noinline)) static void micro(const Geometry& g, const std::byte* input, const float* weights,
                                            const Activation& activation, const Target& target) {
  typename L::Float sums[R][Q][B];
#pragma GCC unroll 2
  for (int b = 0; b < B; ++b) {
    const auto start = L::load(activation.bias + b * L::kFloats);
#pragma GCC unroll 2
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 14
      for (int q = 0; q < Q; ++q) sums[r][q][b] = start;
    }
  }
  const Steps<Q> steps(g.pixel_step);
  for (std::int64_t row = 0; row < g.window_rows; ++row) {
    for (std::int64_t tap = 0; tap < g.taps; ++tap) {
      const std::byte* x[2] = {input + row * g.row_step + tap * g.tap_step, nullptr};
      x[1] = x[0] + g.output_row_step;
      const std::byte* const end = x[0] + g.run_bytes;
      for (; x[0] != end; x[0] += sizeof(float), x[1] += sizeof(float), weights += B * L::kFloats) {
        for (int b = 0; b < B; ++b) __builtin_prefetch(weights + kAhead + b * L::kFloats);
        typename L::Float w[B];
#pragma GCC unroll 2
        for (int b = 0; b < B; ++b) w[b] = L::load(weights + b * L::kFloats);
#pragma GCC unroll 2
        for (int r = 0; r < R; ++r) {
#pragma GCC unroll 14
          for (int q = 0; q < Q; ++q) {
            const auto value = steps.template broadcast<typename L::Float>(x[r], q);
#pragma GCC unroll 2
            for (int b = 0; b < B; ++b) sums[r][q][b] = L::fma(value, w[b], sums[r][q][b]);
          }
        }
      }
    }
  }
  const auto lo = L::set(activation.lo), hi = L::set(activation.hi);
#pragma GCC unroll 2
  for (int b = 0; b < B; ++b) {
    const std::int64_t count = target.count - b * L::kFloats;
    std::byte* to = target.data + b * static_cast<int>(sizeof(float)) * L::kFloats;
    if constexpr (Pool) {
#pragma GCC unroll 7
      for (int q = 0; q + 1 < Q; q += 2, to += target.pixel_step) {
        const auto upper = L::max_or_nan(sums[0][q][b], sums[0][q + 1][b]);
        const auto lower = L::max_or_nan(sums[R - 1][q][b], sums[R - 1][q + 1][b]);
        store<L>(L::max_or_nan(upper, lower), lo, hi, to, count);
      }
    } else {
#pragma GCC unroll 2
      for (int r = 0; r < R; ++r) {
        std::byte* pixel = to + r * target.row_step;
#pragma GCC unroll 14
        for (int q = 0; q < Q; ++q, pixel += target.pixel_step) store<L>(sums[r][q][b], lo, hi, pixel, count);
      }
    }
  }
}

using Micro = void (*)(const Geometry&, const std::byte*, const float*, const Activation&, const Target&);

// The micro-kernels of 1, 2, ... pixels; with pooling of 1, 2, ... pairs of them.
template <class L, int R, int B, bool Pool, class All>
struct Table;
template <class L, int R, int B, bool Pool, int... N>
struct Table<L, R, B, Pool, Numbers<N...>> {
  static constexpr Micro kMicro[] = {micro<L, R, (Pool ? 2 : 1) * N, B, Pool>...};
};

// `width` output pixels (pooled ones, with Pool) of R rows, in pieces of equal width.
template <class L, int R, int B, bool Pool>
static void rows_of(const Geometry& g, const std::byte* input, const float* weights, const Activation& activation,
                    Target target, std::int64_t width) {
  constexpr int kMost = most_pixels<L>(R, B) / (Pool ? 2 : 1);
  using Micros = Table<L, R, B, Pool, typename UpTo<kMost>::type>;
  const std::int64_t pieces = (width + kMost - 1) / kMost;
  std::byte* const out = target.data;
  for (std::int64_t i = 0; i < pieces; ++i) {
    const std::int64_t from = width * i / pieces, to = width * (i + 1) / pieces;
    target.data = out + from * target.pixel_step;
    Micros::kMicro[to - from - 1](g, input + from * (Pool ? 2 : 1) * g.pixel_step, weights, activation, target);
  }
}

// The step's views, with all pixels in one row where that changes nothing.
struct Shape {
  View in, out;
  bool flat = false;
};

static inline Shape shape_of(const StepArgs& args) {
  Shape s{args.inputs[0], args.output};
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const auto joined = [](const View& v) { return v.stride_h == v.w * v.stride_w; };
  s.flat = p.window == Window{} && !p.fused_max_pool && joined(s.in) && joined(s.out);
  if (!s.flat) return s;
  const auto join = [](View& v) { v.w *= v.h, v.h = 1, v.stride_h = v.w * v.stride_w; };
  join(s.in), join(s.out);
  return s;
}

template <class L>
static Geometry geometry_of(const StepArgs& args) {
  const View& in = args.inputs[0];
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  constexpr std::int64_t size = sizeof(float);
  const bool one_run = w.dilation_w == 1 && in.stride_w == in.c;  // the taps of a window row lie side by side
  Geometry g;
  g.window_rows = w.kernel_h;
  g.taps = one_run ? 1 : w.kernel_w;
  g.run_bytes = (one_run ? std::int64_t{w.kernel_w} : 1) * in.c * size;
  g.row_step = w.dilation_h * in.stride_h * size;
  g.tap_step = w.dilation_w * in.stride_w * size;
  g.pixel_step = w.stride_w * in.stride_w * size;
  g.output_row_step = w.stride_h * in.stride_h * size;
  g.depth = std::int64_t{w.kernel_h} * w.kernel_w * in.c;
  return g;
}

// How the step splits: strips of output pixels x groups of output channels.
template <class L>
struct Split {
  static constexpr std::int64_t kFlatStrip = 4 * 14;  // pixels
  Shape shape;
  std::int64_t rows_at_once, strips_an_image, strips, groups;
  bool strip_first;  // all groups of a strip follow each other: for weights smaller than the activation

  explicit Split(const StepArgs& args) : shape(shape_of(args)) {
    const View& out = shape.out;
    const bool pool = static_cast<const ConvParams*>(args.params)->fused_max_pool;
    rows_at_once = !pool && !shape.flat && out.w <= most_pixels<L>(2, kVectors) ? 2 : 1;
    strips_an_image = shape.flat ? (out.w + kFlatStrip - 1) / kFlatStrip : (out.h + rows_at_once - 1) / rows_at_once;
    strips = strips_an_image * out.n;
    groups = (out.c + kVectors * L::kFloats - 1) / (kVectors * L::kFloats);
    const View& in = args.inputs[0];
    strip_first = geometry_of<L>(args).depth * out.c < std::int64_t{in.n} * in.h * in.w * in.c;
  }
};

template <class L>
static std::int64_t tiles(const StepArgs& args) {
  const Split<L> split(args);
  return split.strips * split.groups;
}

template <class L>
static std::size_t packed_bytes(const StepArgs& args) {
  const std::int64_t vectors = (args.output.c + L::kFloats - 1) / L::kFloats;
  return static_cast<std::size_t>(vectors * L::kFloats * geometry_of<L>(args).depth) * sizeof(float);
}

template <class L>
static void pack(const StepArgs& args, const void* source, void* packed) {
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  const std::int64_t channels = args.inputs[0].c, taps = std::int64_t{w.kernel_h} * w.kernel_w;
  const std::int64_t depth = geometry_of<L>(args).depth, out = args.output.c;
  constexpr std::int64_t kGroup = kVectors * L::kFloats;
  std::memset(packed, 0, packed_bytes<L>(args));
  const auto* weights = static_cast<const float*>(source);
  for (std::int64_t o = 0; o < out; ++o) {
    const std::int64_t left = (out - o / kGroup * kGroup + L::kFloats - 1) / L::kFloats * L::kFloats;
    const std::int64_t lanes = left < kGroup ? left : kGroup;  // of this group
    float* group = static_cast<float*>(packed) + o / kGroup * kGroup * depth + o % kGroup;
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t tap = 0; tap < taps; ++tap) group[(tap * channels + c) * lanes] = *weights++;
    }
  }
}

// One strip for one group of B vectors of channels.
template <class L, int B>
static void run_tile(const Split<L>& split, const ConvParams& p, const Geometry& g, std::int64_t strip,
                     std::int64_t channel) {
  const View& in = split.shape.in;
  const View& out = split.shape.out;
  const std::int64_t n = strip / split.strips_an_image, s = strip % split.strips_an_image;
  const Activation activation{p.bias + channel, p.lo, p.hi};
  const auto* weights = static_cast<const float*>(p.weights) + channel * g.depth;
  constexpr std::int64_t size = sizeof(float);
  const auto work = [&](auto rows, auto pool, std::int64_t y, std::int64_t x, std::int64_t width) {
    constexpr int kRows = decltype(rows)::value;
    constexpr bool kPool = decltype(pool)::value != 0;
    const std::int64_t input_rows = (kPool ? 2 : 1) * p.window.stride_h;
    const auto* input = in.data + (n * in.stride_n + (y * input_rows - p.window.pad_top) * in.stride_h +
                                   (x * p.window.stride_w - p.window.pad_left) * in.stride_w) *
                                      size;
    Target target{reinterpret_cast<std::byte*>(out.at<float>(n, y, x, channel)), out.stride_w * size,
                  out.stride_h * size, out.c - channel};
    rows_of<L, kRows, B, kPool>(g, input, weights, activation, target, width);
  };
  constexpr Number<1> one;
  constexpr Number<2> two;
  constexpr Number<false> plain;
  if (p.fused_max_pool) return work(two, Number<true>(), s, 0, out.w);
  if (split.shape.flat) {
    const std::int64_t from = out.w * s / split.strips_an_image, to = out.w * (s + 1) / split.strips_an_image;
    return work(one, plain, 0, from, to - from);
  }
  const std::int64_t y = s * split.rows_at_once;
  if (split.rows_at_once == 2 && y + 1 < out.h) return work(two, plain, y, 0, out.w);
  work(one, plain, y, 0, out.w);
}

template <class L>
static void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Split<L> split(args);
  const Geometry g = geometry_of<L>(args);
  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t strip = split.strip_first ? tile / split.groups : tile % split.strips;
    const std::int64_t group = split.strip_first ? tile % split.groups : tile / split.strips;
    const std::int64_t channel = group * kVectors * L::kFloats;
    if (args.output.c - channel > L::kFloats) {
      run_tile<L, 2>(split, p, g, strip, channel);
    } else {
      run_tile<L, 1>(split, p, g, strip, channel);
    }
  }
}

// The largest block of registers of this step.
template <class L>
static Tile tile(const StepArgs& args) {
  const Split<L> split(args);
  const bool pool = static_cast<const ConvParams*>(args.params)->fused_max_pool;
  const int vectors = args.output.c > L::kFloats ? kVectors : 1;
  const int rows = pool ? 2 : static_cast<int>(split.rows_at_once);
  const int most = most_pixels<L>(rows, vectors) / (pool ? 2 : 1);
  // A flat strip's length varies by a pixel; the longest one counts.
  const std::int64_t strips = split.shape.flat ? split.strips_an_image : 1;
  const auto width = static_cast<int>((split.shape.out.w + strips - 1) / strips);
  const int pieces = (width + most - 1) / most;
  return {rows * ((width + pieces - 1) / pieces) * (pool ? 2 : 1), vectors * L::kFloats};
}

[[maybe_unused]] static const char* refuse(const StepArgs& args) {
  return static_cast<const ConvParams*>(args.params)->groups == 1 ? nullptr : "grouped";
}

}  // namespace octet::kernels::conv_f32
