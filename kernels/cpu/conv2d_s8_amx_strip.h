// Convolutions whose window rows are at most 24 bytes: the first layer of an image network (5 taps x 3 channels = 15,
// 7 x 3 = 21). Taken directly, each tile of 64 bytes of depth would hold one such row and be mostly padding. Instead a
// strip buffer holds, for every output column, the window rows of eight input rows side by side, each in a slot of 16
// or 24 bytes:
//
//     column x:   | slot 0 | slot 1 | slot 2 | ... | slot 7 |      128 or 192 bytes = two or three tiles of depth
//                 input row y goes into slot y mod 8, once; a window of up to 8 rows is some of the eight slots
//
// So an input row is copied once and not once per window row, and the loads are aligned. Which slot is which row of the
// window depends on y mod 8: the weights are packed eight times, rotated, with zeros for the slots outside of the
// window (whatever stale bytes those hold). Two tiles of sums are made at a time: of two runs of 16 pixels, or with a
// fused max-pool of both rows of outputs, which use the same inputs with two rotations.
#pragma once

#include <cstring>

#include "kernels/cpu/amx.h"

namespace octet::kernels::strip {

constexpr std::int64_t kSlots = 8;
constexpr std::int64_t kBand = 10;  // output rows of one tile: the strip is filled anew for each

static inline std::int64_t pooling(const StepArgs& args) {
  return static_cast<const ConvParams*>(args.params)->fused_max_pool ? 2 : 1;
}
static inline std::int64_t row_bytes(const StepArgs& args) {
  return static_cast<const ConvParams*>(args.params)->window.kernel_w * args.inputs[0].c;
}
static inline std::int64_t slot_bytes(const StepArgs& args) { return row_bytes(args) <= 16 ? 16 : 24; }
static inline std::int64_t column_bytes(const StepArgs& args) { return kSlots * slot_bytes(args); }

static bool suits(const StepArgs& args) {
  const View& in = args.inputs[0];
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  // With pooling two sets of weights are in tiles at once, for which 24-byte slots leave no room.
  const std::int64_t pool = pooling(args), longest = pool == 2 ? 16 : 24;
  const bool one_run =
      w.dilation_w == 1 && w.dilation_h == 1 && in.stride_w == in.c && row_bytes(args) <= longest && w.kernel_h > 1;
  // The rows of both pooled outputs must be in the strip together.
  return one_run && w.kernel_h + (pool - 1) * w.stride_h <= kSlots && pool * args.output.w >= amx::kPixels;
}

static std::int64_t blocks(const StepArgs& args) { return (args.output.c + 15) / 16; }
static std::int64_t bands(const StepArgs& args) { return (args.output.h + kBand - 1) / kBand; }
static std::int64_t tiles(const StepArgs& args) { return args.output.n * bands(args); }

// Packed: [rotation][block][2 or 3 tiles][16 groups of 4 bytes][16 channels][4].
static std::int64_t rotation_bytes(const StepArgs& args) { return 16 * column_bytes(args); }  // of one block
static std::size_t packed_bytes(const StepArgs& args) {
  return static_cast<std::size_t>(kSlots * blocks(args) * rotation_bytes(args));
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
            const std::int64_t byte = (rotation + ky) % kSlots * slot_bytes(args) + kx * channels + c;
            auto* block = static_cast<std::int8_t*>(packed) + (rotation * blocks(args) + o / 16) * rotation_bytes(args);
            block[(byte / 4 * 16 + o % 16) * 4 + byte % 4] = value;
          }
        }
      }
    }
  }
}

static std::size_t scratch_bytes(const StepArgs& args) {
  return static_cast<std::size_t>(pooling(args) * args.output.w * column_bytes(args)) + 2 * sizeof(amx::GroupSums) + 64;
}

// Two tiles of sums, into tmm0 and tmm1: of the columns at `first` with the weights in tmm4, tmm5 (and tmm6), and of
// those at `second`; or of `first` with both sets of weights, the other in tmm6 and tmm7.
template <bool Unsigned, bool Pool, int Depth>
static void sum_tiles(const std::byte* first, const std::byte* second, std::int64_t columns) {
#define OCTET_MULTIPLY(sum, input, weights)                              \
  if constexpr (Unsigned) {                                              \
    asm volatile("tdpbusd %tmm" #weights ", %tmm" #input ", %tmm" #sum); \
  } else {                                                               \
    asm volatile("tdpbssd %tmm" #weights ", %tmm" #input ", %tmm" #sum); \
  }
  OCTET_TILE_ZERO(0);
  OCTET_TILE_ZERO(1);
  OCTET_TILE_LOAD(2, first, columns);
  OCTET_MULTIPLY(0, 2, 4)
  if constexpr (Pool) {
    OCTET_MULTIPLY(1, 2, 6)
    OCTET_TILE_LOAD(3, first + 64, columns);
    OCTET_MULTIPLY(0, 3, 5)
    OCTET_MULTIPLY(1, 3, 7)
  } else {
    OCTET_TILE_LOAD(3, second, columns);
    OCTET_MULTIPLY(1, 3, 4)
    OCTET_TILE_LOAD(2, first + 64, columns);
    OCTET_MULTIPLY(0, 2, 5)
    OCTET_TILE_LOAD(3, second + 64, columns);
    OCTET_MULTIPLY(1, 3, 5)
    if constexpr (Depth == 3) {
      OCTET_TILE_LOAD(2, first + 128, columns);
      OCTET_MULTIPLY(0, 2, 6)
      OCTET_TILE_LOAD(3, second + 128, columns);
      OCTET_MULTIPLY(1, 3, 6)
    }
  }
#undef OCTET_MULTIPLY
}

namespace {  // (no weak symbols from files of one instruction set)

class Strip {
 public:
  Strip(const StepArgs& args, void* scratch)
      : args_(args),
        out_(args.output),
        p_(*static_cast<const ConvParams*>(args.params)),
        e_(avx512::constants_of(args)),
        pool_(p_.fused_max_pool),
        slot_(slot_bytes(args)),
        column_(column_bytes(args)),
        sums_(static_cast<amx::GroupSums*>(scratch)),
        strip_(static_cast<std::byte*>(scratch) + 2 * sizeof(amx::GroupSums)) {
    const bool is_unsigned = args.inputs[0].type == DType::u8;
    if (pool_) {
      sum_ = is_unsigned ? sum_tiles<true, true, 2> : sum_tiles<false, true, 2>;
    } else if (slot_ == 16) {
      sum_ = is_unsigned ? sum_tiles<true, false, 2> : sum_tiles<false, false, 2>;
    } else {
      sum_ = is_unsigned ? sum_tiles<true, false, 3> : sum_tiles<false, false, 3>;
    }
  }

  void run(std::int64_t first, std::int64_t last) {
    const std::int64_t all_bands = bands(args_), advance = (pool_ ? 2 : 1) * p_.window.stride_h;
    const std::int64_t rows = p_.window.kernel_h + (pool_ ? p_.window.stride_h : 0);  // of inputs, for a row of outputs
    amx::configure(amx::kPixels, 4);
    for (std::int64_t tile = first; tile < last; ++tile) {
      const std::int64_t n = tile / all_bands, from = tile % all_bands * kBand;
      const std::int64_t to = from + kBand < out_.h ? from + kBand : out_.h;
      std::int64_t filled = from * advance;
      for (std::int64_t oy = from; oy < to; ++oy) {
        const std::int64_t y = oy * advance;  // counted from the first padded row
        for (; filled < y + rows; ++filled) fill(n, filled);
        for (std::int64_t block = 0; block < blocks(args_); ++block) row_of(n, oy, y, block);
      }
    }
    store_waiting();
    amx::release();
  }

 private:
  // Input row y of image n into its slot of every column.
  void fill(std::int64_t n, std::int64_t y) {
    const View& in = args_.inputs[0];
    const Window& w = p_.window;
    const auto* from = in.at<std::uint8_t>(n, y - w.pad_top, -w.pad_left);
    std::byte* to = strip_ + y % kSlots * slot_;
    const std::int64_t columns = (pool_ ? 2 : 1) * out_.w, step = w.stride_w * in.stride_w;
    const bool small = slot_ == 16;
    for (std::int64_t x = 0; x < columns; ++x, from += step, to += column_) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
      if (!small) std::memcpy(to + 16, from + 16, 8);
    }
  }

  void load_weights(std::int64_t y, std::int64_t block) {
    const auto at = [&](std::int64_t row) {
      return static_cast<const std::byte*>(p_.weights) + (row % kSlots * blocks(args_) + block) * rotation_bytes(args_);
    };
    const std::byte *upper = at(y), *lower = at(y + p_.window.stride_h);
    const std::int64_t rows = 64;
    OCTET_TILE_LOAD(4, upper, rows);
    OCTET_TILE_LOAD(5, upper + amx::kTileBytes, rows);
    if (slot_ == 24) OCTET_TILE_LOAD(6, upper + 2 * amx::kTileBytes, rows);
    if (pool_) OCTET_TILE_LOAD(6, lower, rows);
    if (pool_) OCTET_TILE_LOAD(7, lower + amx::kTileBytes, rows);
  }

  // One row of outputs of one block of channels, from the filled strip.
  void row_of(std::int64_t n, std::int64_t oy, std::int64_t y, std::int64_t block) {
    load_weights(y, block);
    const std::int64_t size = p_.epilogue.form == Epilogue::Form::real ? 4 : 1, step = out_.stride_w * size;
    const std::int64_t left = out_.c - 16 * block, outputs = pool_ ? amx::kPixels / 2 : amx::kPixels;
    std::byte* row = out_.data + (n * out_.stride_n + oy * out_.stride_h) * size;
    for (std::int64_t x = 0; x < out_.w; x += pool_ ? outputs : 2 * outputs) {
      // Moved back at the end of the row.
      const std::int64_t x0 = x + outputs <= out_.w ? x : out_.w - outputs;
      const std::int64_t x1 = x + 2 * outputs <= out_.w ? x + outputs : out_.w - outputs;
      sum_(strip_ + x0 * (pool_ ? 2 : 1) * column_, strip_ + x1 * column_, column_);
      store_waiting();
      current_ = 1 - current_;
      OCTET_TILE_STORE(0, sums_[current_].of[0][0]);
      OCTET_TILE_STORE(1, sums_[current_].of[0][1]);
      group_.outputs = pool_ ? outputs : 2 * outputs;
      for (std::int64_t i = 0; i < outputs; ++i) {
        group_.out[i] = row + (x0 + i) * step;
        if (!pool_) group_.out[outputs + i] = row + (x1 + i) * step;
      }
      channel_ = 16 * block, channels_ = left < 16 ? left : 16;
    }
  }

  // The vector units requantise the sums before the last while the tile unit works.
  void store_waiting() {
    if (channels_ > 0) {
      amx::store_group<1>(e_, sums_[current_], group_, pool_, amx::kPixels, channel_, channels_);
    }
    channels_ = 0;
  }

  const StepArgs& args_;
  const View& out_;
  const ConvParams& p_;
  const avx512::Constants e_;
  const bool pool_;
  const std::int64_t slot_, column_;
  amx::GroupSums* sums_;
  std::byte* strip_;
  void (*sum_)(const std::byte*, const std::byte*, std::int64_t) = nullptr;
  amx::Group group_;
  int current_ = 0;
  std::int64_t channel_ = 0, channels_ = 0;  // of the sums that wait; none
};

}  // namespace

}  // namespace octet::kernels::strip
