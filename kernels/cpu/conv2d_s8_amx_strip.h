// Convolutions whose window rows are at most 16 bytes: the first layer of an image network (5 taps x 3 channels = 15).
// Taken directly, each tile of 64 bytes of depth would hold one such row and be three quarters padding. Instead a strip
// buffer holds, for every output column, the window rows of eight input rows side by side, each in a slot of 16 bytes:
//
//     column x:   | slot 0 | slot 1 | slot 2 | ... | slot 7 |      128 bytes = two tiles of depth
//                 input row y goes into slot y mod 8, once; a window of up to 7 rows is some of the eight slots
//
// So an input row is copied once and not once per window row, and the loads are aligned. Which slot is which row of the
// window depends on y mod 8: the weights are packed eight times, rotated, with zeros for the slots outside of the
// window (whatever stale bytes those hold). With a fused max-pool both rows of outputs use the same inputs with two
// rotations.
#pragma once

#include <cstring>

#include "kernels/cpu/amx.h"

namespace octet::kernels::strip {

constexpr std::int64_t kSlots = 8, kSlotBytes = 16, kColumnBytes = kSlots * kSlotBytes;
constexpr std::int64_t kRotationBytes = 2 * amx::kTileBytes;  // of one block of 16 channels
constexpr std::int64_t kBand = 10;  // output rows of one tile: the strip is filled anew for each

static inline std::int64_t pooling(const StepArgs& args) {
  return static_cast<const ConvParams*>(args.params)->fused_max_pool ? 2 : 1;
}

static bool suits(const StepArgs& args) {
  const View& in = args.inputs[0];
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Window& w = p.window;
  const bool one_run = w.dilation_w == 1 && w.dilation_h == 1 && in.stride_w == in.c && w.kernel_w * in.c <= kSlotBytes;
  // The rows of both pooled outputs must be in the strip together.
  const bool fits = w.kernel_h + (pooling(args) - 1) * w.stride_h <= kSlots;
  return one_run && fits && w.kernel_h > 1 && pooling(args) * args.output.w >= amx::kPixels;
}

static std::int64_t blocks(const StepArgs& args) { return (args.output.c + 15) / 16; }
static std::int64_t bands(const StepArgs& args) { return (args.output.h + kBand - 1) / kBand; }
static std::int64_t tiles(const StepArgs& args) { return args.output.n * bands(args); }

// Packed: [rotation][block][2 tiles][16 groups of 4 bytes][16 channels][4].
static std::size_t packed_bytes(const StepArgs& args) {
  return static_cast<std::size_t>(kSlots * blocks(args) * kRotationBytes);
}

static void pack(const StepArgs& args, const void* source, void* packed) {
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  const std::int64_t channels = args.inputs[0].c;
  std::memset(packed, 0, packed_bytes(args));
  const auto* weights = static_cast<const std::int8_t*>(source);
  for (std::int64_t o = 0; o < args.output.c; ++o) {
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
        for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
          const std::int8_t value = *weights++;
          for (std::int64_t rotation = 0; rotation < kSlots; ++rotation) {
            const std::int64_t byte = (rotation + ky) % kSlots * kSlotBytes + kx * channels + c;
            auto* block = static_cast<std::int8_t*>(packed) + (rotation * blocks(args) + o / 16) * kRotationBytes;
            block[(byte / 4 * 16 + o % 16) * 4 + byte % 4] = value;
          }
        }
      }
    }
  }
}

static std::size_t scratch_bytes(const StepArgs& args) {
  return static_cast<std::size_t>(pooling(args) * args.output.w * kColumnBytes) + sizeof(amx::GroupSums) + 64;
}

// Input row y of image n into its slot of every column.
static void fill(const StepArgs& args, std::int64_t n, std::int64_t y, std::byte* strip) {
  const View& in = args.inputs[0];
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  const auto* from = in.at<std::uint8_t>(n, y - w.pad_top, -w.pad_left);
  std::byte* to = strip + y % kSlots * kSlotBytes;
  const std::int64_t columns = pooling(args) * args.output.w, step = w.stride_w * in.stride_w;
  for (std::int64_t x = 0; x < columns; ++x, from += step, to += kColumnBytes) {
    _mm_store_si128(reinterpret_cast<__m128i*>(to), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
}

// One row of outputs (two, when pooling) of one block, from a filled strip. `upper` and `lower` are its weights.
template <bool Unsigned, bool Pool>
static void row_of(const StepArgs& args, const avx512::Constants& e, const std::byte* strip, const std::byte* upper,
                   const std::byte* lower, std::int64_t channel, std::byte* out, amx::GroupSums* sums) {
  constexpr std::int64_t kOutputs = Pool ? amx::kPixels / 2 : amx::kPixels;
  const std::int64_t weight_rows = 64, columns = kColumnBytes, width = args.output.w;
  const std::int64_t size = e.form == Epilogue::Form::real ? 4 : 1, step = args.output.stride_w * size;
  const std::int64_t left = args.output.c - channel, count = left < 16 ? left : 16;
  amx::Group group;
  group.outputs = kOutputs;
  OCTET_TILE_LOAD(4, upper, weight_rows);
  OCTET_TILE_LOAD(5, upper + amx::kTileBytes, weight_rows);
  if constexpr (Pool) OCTET_TILE_LOAD(6, lower, weight_rows);
  if constexpr (Pool) OCTET_TILE_LOAD(7, lower + amx::kTileBytes, weight_rows);
  for (std::int64_t x = 0; x < width; x += kOutputs) {
    const std::int64_t from = x + kOutputs <= width ? x : width - kOutputs;  // moved back at the end of the row
    const std::byte* column = strip + from * (Pool ? 2 : 1) * kColumnBytes;
    OCTET_TILE_ZERO(0);
    if constexpr (Pool) OCTET_TILE_ZERO(1);
    OCTET_TILE_LOAD(2, column, columns);
    OCTET_TILE_LOAD(3, column + 64, columns);
    if constexpr (Unsigned) {
      asm volatile("tdpbusd %tmm4, %tmm2, %tmm0");
      if constexpr (Pool) asm volatile("tdpbusd %tmm6, %tmm2, %tmm1");
      asm volatile("tdpbusd %tmm5, %tmm3, %tmm0");
      if constexpr (Pool) asm volatile("tdpbusd %tmm7, %tmm3, %tmm1");
    } else {
      asm volatile("tdpbssd %tmm4, %tmm2, %tmm0");
      if constexpr (Pool) asm volatile("tdpbssd %tmm6, %tmm2, %tmm1");
      asm volatile("tdpbssd %tmm5, %tmm3, %tmm0");
      if constexpr (Pool) asm volatile("tdpbssd %tmm7, %tmm3, %tmm1");
    }
    OCTET_TILE_STORE(0, sums->of[0][0]);
    if constexpr (Pool) OCTET_TILE_STORE(1, sums->of[0][1]);
    for (std::int64_t i = 0; i < kOutputs; ++i) group.out[i] = out + (from + i) * step;
    amx::store_group<1>(e, *sums, group, Pool, amx::kPixels, channel, count);
  }
}

static void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  const View& out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const avx512::Constants e = avx512::constants_of(args);
  auto* sums = static_cast<amx::GroupSums*>(scratch);
  auto* strip = static_cast<std::byte*>(scratch) + sizeof(amx::GroupSums);
  const std::int64_t pool = pooling(args), advance = pool * p.window.stride_h;
  const std::int64_t rows = p.window.kernel_h + (pool - 1) * p.window.stride_h;  // input rows of one output row
  const std::int64_t size = e.form == Epilogue::Form::real ? 4 : 1;
  const bool is_unsigned = args.inputs[0].type == DType::u8;
  const auto compute = p.fused_max_pool ? (is_unsigned ? row_of<true, true> : row_of<false, true>)
                                        : (is_unsigned ? row_of<true, false> : row_of<false, false>);
  const auto weights = [&](std::int64_t y, std::int64_t block) {
    return static_cast<const std::byte*>(p.weights) + (y % kSlots * blocks(args) + block) * kRotationBytes;
  };
  amx::configure(amx::kPixels, 4);
  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t n = tile / bands(args), from = tile % bands(args) * kBand;
    const std::int64_t to = from + kBand < out.h ? from + kBand : out.h;
    std::int64_t filled = from * advance;
    for (std::int64_t oy = from; oy < to; ++oy) {
      const std::int64_t y = oy * advance;  // counted from the first padded row
      for (; filled < y + rows; ++filled) fill(args, n, filled, strip);
      for (std::int64_t block = 0; block < blocks(args); ++block) {
        compute(args, e, strip, weights(y, block), weights(y + p.window.stride_h, block), 16 * block,
                out.data + (n * out.stride_n + oy * out.stride_h) * size, sums);
      }
    }
  }
  amx::release();
}

}  // namespace octet::kernels::strip
