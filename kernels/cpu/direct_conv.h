// Direct convolution, once, for all vector instruction sets: no im2col. NHWC makes the inputs of one output pixel a few
// contiguous runs (a window row of kernel_w * C elements, or one run a tap where channels are not adjacent), and the
// next output pixel's runs lie a fixed step further on. The micro-kernel holds P pixels x B blocks of output channels
// in registers; for each group of K elements it loads B vectors of weights and broadcasts P groups of inputs:
//
//                      block 0        block 1            K = 4 bytes for the 8-bit dot products, 1 float for f32
//            weights  [c0 .. c15]    [c16 .. c31]        (each lane: K weights of one channel)
//     pixel 0   x0 ->  acc[0][0]      acc[0][1]
//     pixel 1   x1 ->  acc[1][0]      acc[1][1]
//       ...
//
// Packed weights: [channel block][run][group][lane][K], runs padded to whole groups with zeros. So a kernel may read up
// to one group past a run: what it finds there is multiplied by 0 (activations are followed by readable bytes).
//
// An instruction set supplies Traits (see conv2d_s8_avx512vnni.cpp). Everything here is static: each file that includes
// it gets its own code for its own instruction set.
#pragma once

#include <cstring>

#include "kernels/kernel.h"

namespace octet::kernels::direct {

// Why a step is not for these kernels; nullptr when it is.
[[maybe_unused]] static const char* refuse(const StepArgs& args) {
  if (const char* reason = refuse_notebook(args)) return reason;
  return static_cast<const ConvParams*>(args.params)->groups == 1 ? nullptr : "grouped";
}

// Whether the pixels of a whole image are one run: a 1x1 convolution of stride 1 over an input without gaps.
[[maybe_unused]] static bool runs_flat(const StepArgs& args) {
  const View& in = args.inputs[0];
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Window& w = p.window;
  const bool point = w.kernel_h == 1 && w.kernel_w == 1 && w.stride_h == 1 && w.stride_w == 1 && !p.fused_max_pool;
  const bool unpadded = w.pad_top + w.pad_left + w.pad_bottom + w.pad_right == 0;
  return point && unpadded && (in.h == 1 || in.stride_h == in.w * in.stride_w);
}

// Whether a step has so few output channels, and window rows so long, that vectors should run along the depth instead
// of the channels: conv2d_s8_narrow.h.
[[maybe_unused]] static bool is_narrow(const StepArgs& args) {
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const bool one_run = p.window.dilation_w == 1 && args.inputs[0].stride_w == args.inputs[0].c;
  return args.output.c <= 4 && !p.residual.any && one_run && p.window.kernel_w * args.inputs[0].c >= 64 &&
         !p.fused_max_pool;
}

// The bytes of an 8-bit input that a step reads, halo included: kernels that change their inputs' form do it once for
// all of them, not again for every block of channels.
struct Span {
  std::int64_t first = 0, count = 0;  // counted from in.data
};
[[maybe_unused]] static Span input_span(const StepArgs& args) {
  const View &in = args.inputs[0], &out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Window& w = p.window;
  const std::int64_t pool = p.fused_max_pool ? 2 : 1;
  const std::int64_t last_y = (pool * out.h - 1) * w.stride_h - w.pad_top + w.span_h() - 1;
  const std::int64_t last_x = (pool * out.w - 1) * w.stride_w - w.pad_left + w.span_w() - 1;
  const std::int64_t first = -w.pad_top * in.stride_h - w.pad_left * in.stride_w;
  const std::int64_t last = (in.n - 1) * in.stride_n + last_y * in.stride_h + last_x * in.stride_w + in.c;
  return {first, last - first};
}

// A step whose first input lies elsewhere, in another form; a residual stays where it is.
struct Redirected {
  View inputs[2];
  StepArgs args;

  Redirected(const StepArgs& from, std::byte* data) : args(from) {
    inputs[0] = from.inputs[0];
    if (from.input_count > 1) inputs[1] = from.inputs[1];
    inputs[0].data = data;
    args.inputs = inputs;
  }
  Redirected(const Redirected&) = delete;
};

// The shape of the loops, derived from a step's views.
struct Geometry {
  const std::byte* input = nullptr;         // of the tile's first output pixel, set per row
  std::int64_t run_rows = 1, run_taps = 1;  // runs = run_rows * run_taps
  std::int64_t row_step = 0, tap_step = 0;  // bytes from one window row / tap to the next
  std::int64_t groups = 1;                  // of K elements in a run, the last one padded
  std::int64_t run_length = 1;              // elements of a run
  std::int64_t pixel_step = 0;              // bytes from one output pixel's inputs to the next one's
  std::int64_t width = 1;                   // output pixels of a row (of a flat image's part), after pooling
  std::int64_t pool_row_step = 0;           // bytes from one row's inputs to those of the row it is pooled with
};

// What a run of output pixels is written to. The pixels of a flat image pass from row to row of the output, which may
// have a halo between them.
struct Target {
  std::byte* data = nullptr;                  // of the row's (flat: the image's) first pixel, channel 0
  std::int64_t pixel_step = 0, row_step = 0;  // bytes
  std::uint32_t first = 0, width = 0;         // flat: the run's first pixel; pixels of a row. 0: not flat

  // The addresses of `count` pixels from the run's pixel x on.
  __attribute__((always_inline)) void pixels(std::int64_t x, std::int64_t count, std::byte** out) const {
    if (width == 0) {
      std::byte* at = data + x * pixel_step;
      for (std::int64_t i = 0; i < count; ++i, at += pixel_step) out[i] = at;
      return;
    }
    const std::uint32_t flat = first + static_cast<std::uint32_t>(x);
    std::int64_t left = width - flat % width;
    const std::int64_t gap = row_step - width * pixel_step;
    std::byte* at = data + flat / width * row_step + flat % width * pixel_step;
    for (std::int64_t i = 0; i < count; ++i) {
      out[i] = at;
      at += pixel_step;
      if (--left == 0) at += gap, left = width;
    }
  }
};

template <class Traits>
static Geometry geometry_of(const StepArgs& args) {
  const View& in = args.inputs[0];
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Window& w = p.window;
  constexpr std::int64_t size = sizeof(typename Traits::Input);
  const bool one_run = w.dilation_w == 1 && in.stride_w == in.c;
  Geometry g;
  g.run_rows = w.kernel_h;
  g.run_taps = one_run ? 1 : w.kernel_w;
  g.run_length = one_run ? std::int64_t{w.kernel_w} * in.c : in.c;
  constexpr std::int64_t kPadding = std::int64_t{Traits::kGroup} * Traits::kGroupMultiple;
  g.groups = (g.run_length + kPadding - 1) / kPadding * Traits::kGroupMultiple;
  g.row_step = w.dilation_h * in.stride_h * size;
  g.tap_step = w.dilation_w * in.stride_w * size;
  g.pixel_step = w.stride_w * in.stride_w * size;
  g.width = args.output.w;
  g.pool_row_step = w.stride_h * in.stride_h * size;
  return g;
}

template <class Traits>
static std::int64_t blocks(const StepArgs& args) {
  return (args.output.c + Traits::kLanes - 1) / Traits::kLanes;
}

// Elements of one channel block's packed weights.
template <class Traits>
static std::int64_t block_size(const Geometry& g) {
  return g.run_rows * g.run_taps * g.groups * Traits::kLanes * Traits::kGroup;
}

// What weights are before packing: as packed, or Traits::Source.
template <class Traits>
struct SourceOf {
  using Type = typename Traits::Weight;
};
template <class Traits>
requires requires { typename Traits::Source; }
struct SourceOf<Traits> {
  using Type = typename Traits::Source;
};

template <class Traits>
static std::size_t packed_bytes(const StepArgs& args) {
  const Geometry g = geometry_of<Traits>(args);
  const std::int64_t weights =
      blocks<Traits>(args) * block_size<Traits>(g) * static_cast<std::int64_t>(sizeof(typename Traits::Weight));
  return static_cast<std::size_t>(Traits::compensation_bytes(blocks<Traits>(args) * Traits::kLanes) + weights);
}

template <class Traits>
static void pack(const StepArgs& args, const void* source, void* packed) {
  using Weight = typename Traits::Weight;
  const Geometry g = geometry_of<Traits>(args);
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  const std::int64_t channels = args.inputs[0].c, taps = std::int64_t{w.kernel_h} * w.kernel_w;
  std::memset(packed, 0, packed_bytes<Traits>(args));
  const auto* weights = static_cast<const typename SourceOf<Traits>::Type*>(source);
  const std::int64_t head = Traits::compensation_bytes(blocks<Traits>(args) * Traits::kLanes);
  auto* target = reinterpret_cast<Weight*>(static_cast<std::byte*>(packed) + head);
  for (std::int64_t o = 0; o < args.output.c; ++o) {
    Weight* block = target + o / Traits::kLanes * block_size<Traits>(g);
    std::int64_t sum = 0;
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      // Which run, and where in it: with one run a row, the taps of the row follow each other.
      const std::int64_t ky = tap / w.kernel_w, kx = tap % w.kernel_w;
      const std::int64_t run = g.run_taps == 1 ? ky : ky * g.run_taps + kx;
      const std::int64_t start = g.run_taps == 1 ? kx * channels : 0;
      const auto place = [&](std::int64_t element) __attribute__((always_inline)) {
        const std::int64_t group = run * g.groups + element / Traits::kGroup;
        return block + (group * Traits::kLanes + o % Traits::kLanes) * Traits::kGroup + element % Traits::kGroup;
      };
      std::int64_t c = 0;
      for (; start % Traits::kGroup == 0 && c + Traits::kGroup <= channels; c += Traits::kGroup) {  // whole groups
        Weight* to = place(start + c);
        for (std::int64_t i = 0; i < Traits::kGroup; ++i) {
          to[i] = static_cast<Weight>(weights[(c + i) * taps + tap]);
          sum += static_cast<std::int64_t>(to[i]);
        }
      }
      for (; c < channels; ++c) {
        const auto value = static_cast<Weight>(weights[c * taps + tap]);
        sum += static_cast<std::int64_t>(value), *place(start + c) = value;
      }
    }
    weights += channels * taps;
    Traits::set_compensation(packed, o, sum);
  }
}

// Of P pixels, the p-th: side by side, or with pooling two rows of P / 2.
template <int P, bool Pool>
static constexpr std::int64_t offset_of(const Geometry& g, int p) {
  return Pool ? p / (P / 2) * g.pool_row_step + p % (P / 2) * g.pixel_step : p * g.pixel_step;
}

// The epilogue of P x B vectors of sums. A max-pool is taken on the sums themselves: requantising keeps their order
// (every multiplier is positive), so one requantisation in four is enough. Not inlined: it is shared by all its
// callers' loops and keeps them small.
template <class Traits, int P, int B, bool Pool>
__attribute__((noinline)) static void store_sums(const typename Traits::Sum (&sums)[P][B],
                                                 const typename Traits::Epilogue& epilogue, std::int64_t channel,
                                                 std::int64_t channels, const Target& target, std::int64_t x) {
  constexpr int kOutputs = Pool ? P / 4 : P;
  std::byte* out[kOutputs];
  target.pixels(x, kOutputs, out);
  const auto get = [&](std::int64_t i, int b) __attribute__((always_inline)) {
    if constexpr (!Pool) return sums[i][b];
    const auto upper = Traits::max(sums[2 * i][b], sums[2 * i + 1][b]);
    return Traits::max(upper, Traits::max(sums[P / 2 + 2 * i][b], sums[P / 2 + 2 * i + 1][b]));
  };
  if constexpr (requires { Traits::template store_all<B>(epilogue, get, out, kOutputs, channel, channels); }) {
    Traits::template store_all<B>(epilogue, get, out, kOutputs, channel, channels);
  } else {
    const std::int64_t size = Traits::output_size(epilogue);
    for (int b = 0; b < B; ++b) {
      const std::int64_t left = channels - b * Traits::kLanes;
      const std::int64_t count = left < Traits::kLanes ? left : Traits::kLanes;
      const auto constants = Traits::constants(epilogue, channel + b * Traits::kLanes);
      for (int i = 0; i < kOutputs; ++i) {
        Traits::store(epilogue, constants, get(i, b), count, out[i] + (channel + b * Traits::kLanes) * size);
      }
    }
  }
}

// Groups of K elements that Traits::multiply_add() takes at once: its vectors are then of so many.
template <class Traits>
constexpr std::int64_t kTogether = 1;
template <class Traits>
requires requires { Traits::kGroupsTogether; }
constexpr std::int64_t kTogether<Traits> = Traits::kGroupsTogether;

// One group of K elements of P pixels x B blocks. Where a register for each block's weights would leave none for the
// inputs, the last block's stay in memory (Traits::kRegisters).
template <class Traits, int P, int B, bool Pool>
__attribute__((always_inline)) static inline void multiply_group(typename Traits::Sum (&sums)[P][B], const Geometry& g,
                                                                 const std::byte* run,
                                                                 const typename Traits::Weight* weights,
                                                                 std::int64_t block_stride) {
  constexpr bool kInMemory = [] {
    if constexpr (requires { Traits::kRegisters; }) return P * B + B + 1 > Traits::kRegisters;
    return false;
  }();
  constexpr int kLoaded = kInMemory ? B - 1 : B;
  typename Traits::WeightVector w[kLoaded];
#pragma GCC unroll 4
  for (int b = 0; b < kLoaded; ++b) w[b] = Traits::load_weights(weights + b * block_stride);
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
    const auto value = Traits::broadcast(run + offset_of<P, Pool>(g, p));
#pragma GCC unroll 4
    for (int b = 0; b < kLoaded; ++b) Traits::multiply_add(sums[p][b], value, w[b]);
    if constexpr (kInMemory) Traits::multiply_add_memory(sums[p][B - 1], value, weights + (B - 1) * block_stride);
  }
}

// P pixels x B blocks: the whole sum over the window, then the epilogue. Every loop over p and b is unrolled, so that
// `sums` is only indexed by constants and lives in registers; it goes to memory once, in `done`, at the end. Not
// inlined: in a large function g++ 12 spills the sums. (Where a sum belongs to two pixels, see neon_i8mm.h.)
template <class Traits, int P, int B, bool Pool>
requires(!requires { Traits::kTwoPixels; })
    __attribute__((noinline)) static void micro(const Geometry& g, const std::byte* input,
                                                const typename Traits::Weight* weights, std::int64_t block_stride,
                                                const typename Traits::Epilogue& epilogue, std::int64_t channel,
                                                std::int64_t channels, const Target& target, std::int64_t x) {
  typename Traits::Sum sums[P][B];
#pragma GCC unroll 4
  for (int b = 0; b < B; ++b) {
    const auto start = Traits::start(epilogue, channel + b * Traits::kLanes);
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) sums[p][b] = start;
  }
  for (std::int64_t row = 0; row < g.run_rows; ++row) {
    for (std::int64_t tap = 0; tap < g.run_taps; ++tap) {
      const std::byte* run = input + row * g.row_step + tap * g.tap_step;
      for (std::int64_t group = 0; group < g.groups; group += kTogether<Traits>) {
        multiply_group<Traits, P, B, Pool>(sums, g, run, weights, block_stride);
        run += kTogether<Traits> * Traits::kGroup * static_cast<std::int64_t>(sizeof(typename Traits::Input));
        weights += kTogether<Traits> * Traits::kLanes * Traits::kGroup;
      }
    }
  }
  if constexpr (requires { &Traits::extras; }) {
#pragma GCC unroll 4
    for (int b = 0; b < B; ++b) {
      const auto extras = Traits::extras(epilogue, channel + b * Traits::kLanes);
      for (std::int32_t i = 0; i < extras.count; ++i) {
        const auto w = Traits::load_extra(extras, i);
        const std::byte* from = input + extras.offsets[i];
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) Traits::multiply_add_extra(sums[p][b], from + offset_of<P, Pool>(g, p), w);
      }
    }
  }
  typename Traits::Sum done[P][B];
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int b = 0; b < B; ++b) done[p][b] = sums[p][b];
  }
  store_sums<Traits, P, B, Pool>(done, epilogue, channel, channels, target, x);
}

// One row of outputs for B channel blocks. The last vector of pixels is moved back to end with the row, so pixels may
// be computed twice, with the same result; rows shorter than a vector take them one by one.
template <class Traits, int P, int B, bool Pool>
static void row_of(const Geometry& g, const typename Traits::Weight* weights, std::int64_t block_stride,
                   const typename Traits::Epilogue& epilogue, std::int64_t channel, std::int64_t channels,
                   const Target& target) {
  constexpr int kOutputs = Pool ? P / 4 : P, kLeast = Pool ? 4 : 1;
  const auto at = [&](std::int64_t x) { return g.input + x * (Pool ? 2 : 1) * g.pixel_step; };
  if (g.width < kOutputs) {
    for (std::int64_t x = 0; x < g.width; ++x) {
      micro<Traits, kLeast, B, Pool>(g, at(x), weights, block_stride, epilogue, channel, channels, target, x);
    }
    return;
  }
  for (std::int64_t x = 0; x < g.width; x += kOutputs) {
    const std::int64_t from = x + kOutputs <= g.width ? x : g.width - kOutputs;
    micro<Traits, P, B, Pool>(g, at(from), weights, block_stride, epilogue, channel, channels, target, from);
  }
}

// Parts of one image that are tiles of their own: rows, or of a flat image runs of about kFlatPixels pixels.
constexpr std::int64_t kFlatPixels = 112;

struct Parts {
  std::int64_t count = 1, length = 1, pixels = 1;  // of one image; a part's pixels; the image's pixels when flat

  __attribute__((always_inline)) explicit Parts(const StepArgs& args)
      : count(args.output.h), length(args.output.w), pixels(length) {
    if (!runs_flat(args)) return;
    pixels = std::int64_t{args.output.h} * args.output.w;
    count = (pixels + kFlatPixels - 1) / kFlatPixels;
    length = (pixels + count - 1) / count;
  }
};

// Channel blocks that one tile computes together, so that an input broadcast serves them all. An instruction set may
// take more of them where the weights of so many blocks stay in its first cache.
template <class Traits>
static std::int64_t blocks_per_tile(const StepArgs& args) {
  const std::int64_t all = blocks<Traits>(args);
  std::int64_t most = Traits::kMaxBlocks;
  if constexpr (requires { Traits::kWideBlocks; }) {
    const auto bytes = Traits::kWideBlocks * block_size<Traits>(geometry_of<Traits>(args)) *
                       static_cast<std::int64_t>(sizeof(typename Traits::Weight));
    const bool pooled = static_cast<const ConvParams*>(args.params)->fused_max_pool;
    const bool read_once = Parts(args).length < Traits::kWideBlocks;
    if (all % Traits::kWideBlocks == 0 && !pooled && (read_once || bytes <= Traits::kFirstCache)) {
      most = Traits::kWideBlocks;
    }
  }
  return all < most ? all : most;
}

template <class Traits>
static std::int64_t tiles(const StepArgs& args) {
  const std::int64_t per_tile = blocks_per_tile<Traits>(args);
  return (blocks<Traits>(args) + per_tile - 1) / per_tile * args.output.n * Parts(args).count;
}

// How many pixels and blocks the micro-kernel takes: call(Number<P>, Number<B>).
template <class Traits, class Call>
static void dispatch(std::int64_t blocks, std::int64_t length, bool pooled, Call call) {
  if constexpr (requires { Traits::dispatch(blocks, length, pooled, call); }) {
    Traits::dispatch(blocks, length, pooled, call);
  } else {
    Traits::dispatch(blocks, call);
  }
}

// Tile t: part t % parts of channel group t / parts, so that neighbours share their weights.
template <class Traits>
static void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const auto epilogue = Traits::prepare(args);
  Geometry g = geometry_of<Traits>(args);
  const Parts parts(args);
  const bool flat = runs_flat(args);
  const std::int64_t all = out.n * parts.count, per_tile = blocks_per_tile<Traits>(args);
  const std::int64_t stride = block_size<Traits>(g);
  const auto* weights = reinterpret_cast<const typename Traits::Weight*>(
      static_cast<const std::byte*>(p.weights) + Traits::compensation_bytes(blocks<Traits>(args) * Traits::kLanes));
  const std::int64_t size = Traits::output_size(epilogue);
  const std::int64_t input_rows = (p.fused_max_pool ? 2 : 1) * p.window.stride_h;  // from one output row to the next
  g.width = parts.length;

  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t block = tile / all * per_tile, n = tile % all / parts.count, part = tile % parts.count;
    const std::int64_t channel = block * Traits::kLanes;
    const std::int64_t remaining = blocks<Traits>(args) - block;
    const std::int64_t count = remaining < per_tile ? remaining : per_tile;
    const std::int64_t channels = out.c - channel < count * Traits::kLanes ? out.c - channel : count * Traits::kLanes;
    Target target{out.data + n * out.stride_n * size, out.stride_w * size, out.stride_h * size};
    if (flat) {  // the last part is moved back to end with the image
      const std::int64_t after = part * parts.length;
      const std::int64_t from = after + parts.length <= parts.pixels ? after : parts.pixels - parts.length;
      g.input = reinterpret_cast<const std::byte*>(in.at<typename Traits::Input>(n, 0, 0)) + from * g.pixel_step;
      target.first = static_cast<std::uint32_t>(from), target.width = static_cast<std::uint32_t>(out.w);
    } else {
      const std::int64_t y = part * input_rows - p.window.pad_top;
      g.input = reinterpret_cast<const std::byte*>(in.at<typename Traits::Input>(n, y, -p.window.pad_left));
      target.data += part * target.row_step;
    }
    dispatch<Traits>(count, parts.length, p.fused_max_pool, [&](auto pixels, auto number) {
      constexpr int kPixels = decltype(pixels)::value, kBlocks = decltype(number)::value;
      const auto* of_block = weights + block * stride;
      if (p.fused_max_pool) {
        row_of<Traits, kPixels / 4 * 4, kBlocks, true>(g, of_block, stride, epilogue, channel, channels, target);
      } else {
        row_of<Traits, kPixels, kBlocks, false>(g, of_block, stride, epilogue, channel, channels, target);
      }
    });
  }
}

// The number of pixels among Choices that covers `length` with the least work: every micro-kernel costs about one
// pixel's time besides its pixels. With pooling four pixels make one output.
template <int... Choices>
static int best_pixels(std::int64_t length, bool pooled) {
  int best = 0;
  std::int64_t least = 0;
  constexpr int kChoices[] = {Choices...};
  for (const int choice : kChoices) {
    const std::int64_t outputs = pooled ? choice / 4 : choice;
    if (outputs > length || (pooled && choice % 4 != 0)) continue;
    const std::int64_t cost = (length + outputs - 1) / outputs * (choice + 1);
    if (best == 0 || cost < least) best = choice, least = cost;
  }
  return best;
}

// A number as a type, for dispatch().
template <int N>
struct Number {
  static constexpr int value = N;
};

// The largest block of registers of this step (an image's narrow rest takes smaller ones).
template <class Traits>
static Tile tile(const StepArgs& args) {
  const auto& p = *static_cast<const ConvParams*>(args.params);
  Tile tile;
  const auto name = [&](auto pixels, auto number) {
    constexpr int kPixels = decltype(pixels)::value, kBlocks = decltype(number)::value;
    tile = {p.fused_max_pool ? kPixels / 4 * 4 : kPixels, kBlocks * Traits::kLanes};
  };
  dispatch<Traits>(blocks_per_tile<Traits>(args), Parts(args).length, p.fused_max_pool, name);
  return tile;
}

}  // namespace octet::kernels::direct
