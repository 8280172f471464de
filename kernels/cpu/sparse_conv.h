// Sparse convolution, once, for all instruction sets: gather, multiply, accumulate.
//
// A tile is a block of output rows. Its sums, 32 bits each, lie in scratch memory that stays in the cache. For each tap
// of the kernel, the rows of the block that have a neighbour there are listed (on LiDAR frames a quarter of them), the
// neighbours' features are gathered side by side, and a small dense matrix product adds to just those rows' sums:
//
//     map of one tap:  -1  7 -1 -1  8  3 ...        gathered          weights of the tap      sums of the block
//                          |        |  |            [ row 7 ]         [      C x O     ]      row 1 += ...
//                          v        v  v            [ row 8 ]    x                        ->  row 4 += ...
//     output rows:         1        4  5            [ row 3 ]                                 row 5 += ...
//
// So absent neighbours cost a look at the map and nothing else, whatever the pattern. The product's micro-kernel holds
// P gathered rows x B vectors of output channels in registers, as in direct_conv.h; it starts from the sums in memory
// and puts them back. Everything is integer addition (or is not promised to be equal), so the order does not matter,
// and a tile belongs to one thread.
//
// Staged rows: groups of four bytes (4 x 8 bits, 2 x 16 bits or a float), 16 groups a chunk, [chunk][row][group].
// Packed weights: per tap and output channel, what the taps that are there must add besides products, [tap][channel]:
// -(zero point + offset) * sum of the tap's weights, where gathered values are q + offset. Behind them the weights,
// [tap][block of lanes][group][lane][elements of a group], padded with zeros.
#pragma once

#include <cstring>

#include "kernels/kernel.h"

namespace octet::kernels::sparse {

constexpr std::int64_t kChunk = 16;  // groups of four bytes that are staged side by side: one cache line

// Rows of a tile: sums of at most 32 kB, which stay in the first-level cache beside one tap's weights.
[[maybe_unused]] static std::int64_t tile_rows(const StepArgs& args) {
  return args.output.c <= 32 ? 256 : args.output.c <= 64 ? 128 : 64;
}
[[maybe_unused]] static std::int64_t tiles(const StepArgs& args) {
  return (args.output.w + tile_rows(args) - 1) / tile_rows(args);
}

template <class Traits>
struct Geometry {
  std::int64_t taps, groups, chunks, blocks, channels;  // channels: of the output, padded to whole vectors
  std::int64_t block_size, tap_size;                    // elements of packed weights

  explicit Geometry(const StepArgs& args) {
    taps = static_cast<const ConvParams*>(args.params)->taps;
    groups = (args.inputs[0].c + Traits::kGroup - 1) / Traits::kGroup;
    chunks = (groups + kChunk - 1) / kChunk;
    blocks = (args.output.c + Traits::kLanes - 1) / Traits::kLanes;
    channels = blocks * Traits::kLanes;
    block_size = groups * Traits::kLanes * Traits::kGroup;
    tap_size = blocks * block_size;
  }
  std::int64_t head_bytes() const { return (taps * channels * 4 + 63) / 64 * 64; }
};

template <class Traits>
static std::size_t packed_bytes(const StepArgs& args) {
  const Geometry<Traits> g(args);
  return static_cast<std::size_t>(g.head_bytes()) +
         static_cast<std::size_t>(g.taps * g.tap_size) * sizeof(typename Traits::Weight);
}

template <class Traits>
static void pack(const StepArgs& args, const void* source, void* packed) {
  const Geometry<Traits> g(args);
  const auto& p = *static_cast<const ConvParams*>(args.params);
  std::memset(packed, 0, packed_bytes<Traits>(args));
  const auto* from = static_cast<const typename Traits::Source*>(source);
  auto* head = static_cast<typename Traits::Scalar*>(packed);
  auto* to = reinterpret_cast<typename Traits::Weight*>(static_cast<std::byte*>(packed) + g.head_bytes());
  const std::int64_t shift = Traits::offset(args) + p.zero_in, inputs = args.inputs[0].c;
  for (std::int64_t o = 0; o < args.output.c; ++o) {
    for (std::int64_t tap = 0; tap < g.taps; ++tap) {
      typename Traits::Weight* block = to + tap * g.tap_size + o / Traits::kLanes * g.block_size;
      typename Traits::Scalar sum = 0;
      for (std::int64_t c = 0; c < inputs; ++c) {
        const auto value = *from++;
        sum += static_cast<typename Traits::Scalar>(value);
        const std::int64_t lane = c / Traits::kGroup * Traits::kLanes + o % Traits::kLanes;
        block[lane * Traits::kGroup + c % Traits::kGroup] = static_cast<typename Traits::Weight>(value);
      }
      if (shift != 0) head[tap * g.channels + o] = static_cast<typename Traits::Scalar>(-shift) * sum;
    }
  }
}

// Scratch memory: sums of a tile's rows and of one row that nobody reads, the lists, the staged rows.
template <class Traits>
struct Scratch {
  std::int64_t neighbour_at, row_at, stage_at, bytes;  // the sums come first

  Scratch(const StepArgs& args, const Geometry<Traits>& g) {
    const auto rounded = [](std::int64_t size) { return (size + 63) / 64 * 64; };
    const std::int64_t rows = tile_rows(args);
    neighbour_at = rounded((rows + 1) * g.channels * 4);
    row_at = neighbour_at + rounded((rows + kChunk) * 4);
    stage_at = row_at + rounded((rows + kChunk) * 4);
    bytes = stage_at + rounded(g.chunks * Traits::kRows * kChunk * 4);
  }
};

template <class Traits>
static std::size_t scratch_bytes(const StepArgs& args) {
  return static_cast<std::size_t>(Scratch<Traits>(args, Geometry<Traits>(args)).bytes);
}

// P rows x B vectors: the product with one tap's weights, added to the rows' sums. Not inlined, and every loop over p
// and b unrolled, for the reason given in direct_conv.h.
template <class Traits, int P, int B>
__attribute__((noinline)) static void micro(const std::uint32_t* stage, const typename Traits::Weight* weights,
                                            std::int64_t block_size, std::int64_t groups,
                                            const typename Traits::Scalar* head, typename Traits::Scalar* sums,
                                            std::int64_t channels, const std::int32_t* row) {
  typename Traits::Sum sum[P][B];
#pragma GCC unroll 4
  for (int b = 0; b < B; ++b) {
    const auto start = Traits::load(head + b * Traits::kLanes);
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p)
      sum[p][b] = Traits::add(Traits::load(sums + row[p] * channels + b * Traits::kLanes), start);
  }
  for (; groups > 0; groups -= kChunk, stage += Traits::kRows * kChunk) {
    const std::uint32_t* const end = stage + (groups < kChunk ? groups : kChunk);
    for (const std::uint32_t* group = stage; group < end; ++group) {
      typename Traits::Weights w[B];
#pragma GCC unroll 4
      for (int b = 0; b < B; ++b) w[b] = Traits::load_weights(weights + b * block_size);
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) {
        const auto x = Traits::broadcast(group + p * kChunk);
#pragma GCC unroll 4
        for (int b = 0; b < B; ++b) Traits::multiply_add(sum[p][b], x, w[b]);
      }
      weights += Traits::kLanes * Traits::kGroup;
    }
  }
#pragma GCC unroll 4
  for (int b = 0; b < B; ++b) {
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) Traits::store(sums + row[p] * channels + b * Traits::kLanes, sum[p][b]);
  }
}

// All output channels of P staged rows.
template <class Traits, int P>
static void product(const Geometry<Traits>& g, const std::uint32_t* stage, const typename Traits::Weight* weights,
                    const typename Traits::Scalar* head, typename Traits::Scalar* sums, const std::int32_t* row) {
  constexpr int B = Traits::kBlocks;
  std::int64_t block = 0;
  for (; block + B <= g.blocks; block += B) {
    const std::int64_t channel = block * Traits::kLanes;
    micro<Traits, P, B>(stage, weights + block * g.block_size, g.block_size, g.groups, head + channel, sums + channel,
                        g.channels, row);
  }
  for (; block < g.blocks; ++block) {
    const std::int64_t channel = block * Traits::kLanes;
    micro<Traits, P, 1>(stage, weights + block * g.block_size, g.block_size, g.groups, head + channel, sums + channel,
                        g.channels, row);
  }
}

// Rows of a block that have a neighbour through one tap.
template <class Traits>
static std::int64_t list(const std::int32_t* map, std::int64_t rows, std::int32_t* neighbour, std::int32_t* row) {
  if constexpr (requires { Traits::list(map, rows, neighbour, row); }) {
    return Traits::list(map, rows, neighbour, row);
  } else {
    std::int64_t count = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      neighbour[count] = map[r], row[count] = static_cast<std::int32_t>(r);
      count += map[r] >= 0;
    }
    return count;
  }
}

template <class Traits>
static void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* memory) {
  const View &in = args.inputs[0], &map = args.inputs[1], &out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Geometry<Traits> g(args);
  const Scratch<Traits> places(args, g);
  auto* const scratch = static_cast<std::byte*>(memory);
  const struct {
    typename Traits::Scalar* sums;
    std::int32_t *neighbour, *row;
    std::uint32_t* stage;
  } s = {reinterpret_cast<typename Traits::Scalar*>(scratch),
         reinterpret_cast<std::int32_t*>(scratch + places.neighbour_at),
         reinterpret_cast<std::int32_t*>(scratch + places.row_at),
         reinterpret_cast<std::uint32_t*>(scratch + places.stage_at)};
  const typename Traits::Reader reader(args);
  const auto* head = static_cast<const typename Traits::Scalar*>(p.weights);
  const auto* weights =
      reinterpret_cast<const typename Traits::Weight*>(static_cast<const std::byte*>(p.weights) + g.head_bytes());
  const std::int64_t size = tile_rows(args), spare = size;
  const bool fetches_ahead =
      in.c * Traits::kInputBytes > 16;  // (shorter rows are used up faster than they are asked for)
  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t from = tile * size, rows = out.w - from < size ? out.w - from : size;
    std::memset(s.sums, 0, static_cast<std::size_t>(rows * g.channels * 4));
    for (std::int64_t tap = 0; tap < g.taps; ++tap) {
      const std::int64_t count = list<Traits>(map.at<std::int32_t>(0, 0, from, tap), rows, s.neighbour, s.row);
      const auto* of_tap = weights + tap * g.tap_size;
      const auto* head_of_tap = head + tap * g.channels;
      for (std::int64_t at = 0; at < count; at += Traits::kRows) {
        const std::int64_t left = count - at;
        for (std::int64_t i = left; i < Traits::kRows; ++i) s.row[at + i] = static_cast<std::int32_t>(spare);
        const std::int64_t staged = left < Traits::kRows ? left : Traits::kRows;
        for (std::int64_t i = 0; i < staged; ++i) {
          reader.stage(in.data + s.neighbour[at + i] * in.stride_w * Traits::kInputBytes, s.stage + i * kChunk);
        }
        for (std::int64_t i = at + staged; fetches_ahead && i < at + 2 * staged; ++i)
          __builtin_prefetch(in.data + s.neighbour[i < count ? i : 0] * in.stride_w * Traits::kInputBytes);
        const std::int32_t* row = s.row + at;
        if (left * 2 > Traits::kRows) {
          product<Traits, Traits::kRows>(g, s.stage, of_tap, head_of_tap, s.sums, row);
        } else if (left * 4 > Traits::kRows) {
          product<Traits, (Traits::kRows + 1) / 2>(g, s.stage, of_tap, head_of_tap, s.sums, row);
        } else {
          product<Traits, (Traits::kRows + 3) / 4>(g, s.stage, of_tap, head_of_tap, s.sums, row);
        }
      }
    }
    Traits::finish(args, s.sums, g.channels, from, rows);
  }
}

// A row of variants.def whose Traits do not depend on the step.
template <class Traits>
static constexpr Kernel kernel(const char* op, const char* isa, const char* (*refuse)(const StepArgs&)) {
  return {.op = op,
          .isa = isa,
          .refuse = refuse,
          .tiles = tiles,
          .run = run<Traits>,
          .packed_bytes = packed_bytes<Traits>,
          .pack = pack<Traits>,
          .scratch_bytes = scratch_bytes<Traits>};
}

// The usual end of integer sums: the instruction set's own epilogue over a few rows and one or two blocks at a time.
template <class Traits, class Constants, class Get, class Store>
__attribute__((always_inline)) static inline void finish_rows(const StepArgs& args, std::int64_t from,
                                                              std::int64_t rows, const Constants& constants, Get get,
                                                              Store store) {
  constexpr std::int64_t kTogether = 16;
  const View& out = args.output;
  const std::int64_t size = out.type == DType::f32 ? 4 : 1;
  for (std::int64_t r = 0; r < rows; r += kTogether) {
    const std::int64_t count = rows - r < kTogether ? rows - r : kTogether;
    std::byte* to[kTogether];
    for (std::int64_t i = 0; i < count; ++i) to[i] = out.data + (from + r + i) * out.stride_w * size;
    for (std::int64_t channel = 0; channel < out.c; channel += 2 * Traits::kLanes) {
      const std::int64_t left = out.c - channel;
      store(
          constants, [&](std::int64_t i, int b) __attribute__((always_inline)) { return get(r + i, channel, b); }, to,
          count, channel, left < 2 * Traits::kLanes ? left : 2 * Traits::kLanes);
    }
  }
}

}  // namespace octet::kernels::sparse
