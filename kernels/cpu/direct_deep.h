// Direct convolution of deep layers, for direct_conv.h's Traits: where the weights that a tile's channels need overflow
// the first cache, a micro-kernel that sums over the whole window reads all of them from the second one (or, the first
// time, from further away) for every few pixels. Here the window is cut into chunks whose weights stay in the first
// cache while several groups of pixels use them; the groups' sums wait in memory meanwhile:
//
//     for each chunk of the window                         (kChunk groups of K elements of one run)
//       for each group of pixels                           (at most kGroups, of P pixels)
//         sums from memory, += inputs * weights, to memory (first chunk: from the biases; last: then the epilogue)
//
// Moving the sums costs 2 P B instructions beside the P B kChunk multiplications. The next chunk's weights are fetched
// into the second cache meanwhile.
#pragma once

#include "kernels/cpu/direct_conv.h"

namespace octet::kernels::deep {

constexpr std::int64_t kGroups = 8;   // of pixels that share a chunk
constexpr std::int64_t kChunk = 128;  // groups of K elements: 32 KB of weights of four blocks of 16 channels
constexpr int kMostPixels = 7;

// How a step's output is cut: groups of `pixels` neighbours, the last one of a run moved back to end with it.
struct Cut {
  bool flat = false;
  std::int64_t length = 0, pixels = 0, per_run = 0, groups = 0, parts = 0;

  explicit Cut(const StepArgs& args) : flat(direct::runs_flat(args)) {
    length = flat ? std::int64_t{args.output.h} * args.output.w : args.output.w;
    pixels = direct::best_pixels<kMostPixels, 6, 5, 4>(length, false);
    if (pixels == 0) return;
    per_run = (length + pixels - 1) / pixels;
    groups = per_run * (flat ? 1 : args.output.h);
    parts = (groups + kGroups - 1) / kGroups;
  }
  std::int64_t first_group(std::int64_t part) const { return groups * part / parts; }
};

template <class Traits>
static bool suits(const StepArgs& args) {
  constexpr std::int64_t kBlocks = Traits::kWideBlocks;
  if (static_cast<const ConvParams*>(args.params)->fused_max_pool) return false;
  const bool whole = direct::blocks<Traits>(args) % kBlocks == 0;
  const std::int64_t bytes = kBlocks * direct::block_size<Traits>(direct::geometry_of<Traits>(args));
  return whole && bytes > Traits::kFirstCache && Cut(args).pixels > 0;
}

template <class Traits>
static std::int64_t tiles(const StepArgs& args) {
  return direct::blocks<Traits>(args) / Traits::kWideBlocks * args.output.n * Cut(args).parts;
}

// Of one chunk: where its inputs lie from a pixel's first one on, its weights from a block's first one on.
struct Chunk {
  std::int64_t input = 0, weights = 0, groups = 0;
};

// P pixels x B blocks over one chunk. Not inlined, and unrolled: as direct::micro().
template <class Traits, int P, int B>
__attribute__((noinline)) static void accumulate(const direct::Geometry& g, const std::byte* run, std::int64_t groups,
                                                 const typename Traits::Weight* weights, std::int64_t block_stride,
                                                 const typename Traits::Weight* ahead,
                                                 typename Traits::Sum (&memory)[P][B]) {
  typename Traits::Sum sums[P][B];
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int b = 0; b < B; ++b) sums[p][b] = memory[p][b];
  }
  constexpr std::int64_t kVector = Traits::kLanes * Traits::kGroup;
  for (std::int64_t group = 0; group < groups; ++group) {
    direct::multiply_group<Traits, P, B, false>(sums, g, run, weights, block_stride);
    __builtin_prefetch(ahead, 0, 2);
    run += Traits::kGroup * sizeof(typename Traits::Input);
    weights += kVector, ahead += kVector;
  }
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int b = 0; b < B; ++b) memory[p][b] = sums[p][b];
  }
}

// The chunks of the window in order: f(this one, the one after it, whether this is the last).
template <class Traits, class F>
static void each_chunk(const direct::Geometry& g, F f) {
  constexpr std::int64_t kVector = Traits::kLanes * Traits::kGroup;
  const std::int64_t parts = (g.groups + kChunk - 1) / kChunk, count = g.run_rows * g.run_taps * parts;
  const auto chunk = [&](std::int64_t i) {
    const std::int64_t run = i / parts, from = g.groups * (i % parts) / parts, to = g.groups * (i % parts + 1) / parts;
    const std::int64_t start = run / g.run_taps * g.row_step + run % g.run_taps * g.tap_step;
    constexpr std::int64_t kStep = Traits::kGroup * static_cast<std::int64_t>(sizeof(typename Traits::Input));
    return Chunk{start + from * kStep, (run * g.groups + from) * kVector, to - from};
  };
  for (std::int64_t i = 0; i < count; ++i) f(chunk(i), chunk(i + 1 < count ? i + 1 : 0), i + 1 == count);
}

// Tile t: part t % parts of image and channel group t / parts, so that neighbours share their weights.
template <class Traits, int P>
static void run_pixels(const StepArgs& args, const Cut& cut, std::int64_t first, std::int64_t last) {
  constexpr int B = Traits::kWideBlocks;
  const View &in = args.inputs[0], &out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const auto epilogue = Traits::prepare(args);
  const direct::Geometry g = direct::geometry_of<Traits>(args);
  const std::int64_t stride = direct::block_size<Traits>(g), size = Traits::output_size(epilogue);
  const std::int64_t head = Traits::compensation_bytes(direct::blocks<Traits>(args) * Traits::kLanes);
  const auto* packed =
      reinterpret_cast<const typename Traits::Weight*>(static_cast<const std::byte*>(p.weights) + head);
  typename Traits::Sum sums[kGroups][P][B];
  const std::byte* inputs[kGroups];
  direct::Target targets[kGroups];
  std::int64_t xs[kGroups];

  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t part = tile % cut.parts, n = tile / cut.parts % out.n, block = tile / cut.parts / out.n * B;
    const std::int64_t from = cut.first_group(part), count = cut.first_group(part + 1) - from;
    const std::int64_t channel = block * Traits::kLanes, left = out.c - channel;
    const std::int64_t channels = left < B * Traits::kLanes ? left : B * Traits::kLanes;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t row = (from + i) / cut.per_run, after = (from + i) % cut.per_run * P;
      const std::int64_t x = after + P <= cut.length ? after : cut.length - P;
      const std::int64_t y = row * p.window.stride_h - p.window.pad_top;
      inputs[i] = reinterpret_cast<const std::byte*>(in.at<typename Traits::Input>(n, y, -p.window.pad_left)) +
                  x * g.pixel_step;
      targets[i] = {out.data + (n * out.stride_n + row * out.stride_h) * size, out.stride_w * size,
                    out.stride_h * size};
      if (cut.flat) targets[i].width = static_cast<std::uint32_t>(out.w);
      xs[i] = x;
      for (int b = 0; b < B; ++b) {
        const auto start = Traits::start(epilogue, channel + b * Traits::kLanes);
        for (int pixel = 0; pixel < P; ++pixel) sums[i][pixel][b] = start;
      }
    }
    const auto* weights = packed + block * stride;
    each_chunk<Traits>(g, [&](const Chunk& now, const Chunk& next, bool is_last) {
      const bool other_channels = is_last && part + 1 == cut.parts;
      const auto* ahead = weights + next.weights + (other_channels ? B * stride : 0);
      for (std::int64_t i = 0; i < count; ++i) {
        accumulate<Traits, P, B>(g, inputs[i] + now.input, now.groups, weights + now.weights, stride,
                                 ahead + (i < B ? i : B - 1) * stride, sums[i]);
        if (is_last) {
          direct::store_sums<Traits, P, B, false>(sums[i], epilogue, channel, channels, targets[i], xs[i]);
        }
      }
    });
  }
}

template <class Traits>
static void run(const StepArgs& args, std::int64_t first, std::int64_t last) {
  const Cut cut(args);
  switch (cut.pixels) {
    case 4:
      return run_pixels<Traits, 4>(args, cut, first, last);
    case 5:
      return run_pixels<Traits, 5>(args, cut, first, last);
    case 6:
      return run_pixels<Traits, 6>(args, cut, first, last);
    default:
      return run_pixels<Traits, 7>(args, cut, first, last);
  }
}

}  // namespace octet::kernels::deep
