// conv2d_s8_amx: direct convolution on the tile unit. One instruction multiplies 16 pixels x 64 bytes of depth with
// 64 bytes x 16 channels:
//
//     tmm4, tmm5   inputs    16 rows = pixels, 64 bytes of a run each; rows are one pixel step apart in NHWC memory, so
//                            neighbouring rows overlap and nothing has to be copied together first
//     tmm6, tmm7   weights   16 rows = groups of 4 bytes, 16 channels each (direct_conv.h draws the packing)
//     tmm0..tmm3   sums      [2 blocks of channels][2 tiles of pixels]; biases are added by the vector units
//
// The unit's time does not depend on how much of the 64 bytes is padding, so runs are padded to whole tiles; it depends
// on the rows, and amx_pixels.h says which pixels fill them. s8 x s8 and u8 x s8 exist, so no offset is needed.
//
// Inputs of few channels go another way: conv2d_s8_amx_strip.h.
#include "kernels/cpu/amx.h"
#include "kernels/cpu/conv2d_s8_amx_strip.h"
#include "kernels/cpu/direct_conv.h"

namespace octet::kernels {
namespace {

using namespace amx;

struct Packing {
  using Input = std::uint8_t;
  using Weight = std::int8_t;
  static constexpr int kLanes = 16, kGroup = 4, kGroupMultiple = 16, kMaxBlocks = 2;
  static std::int64_t compensation_bytes(std::int64_t) { return 0; }
  static void set_compensation(void*, std::int64_t, std::int64_t) {}
};

constexpr std::size_t kScratch = 2 * sizeof(GroupSums);
constexpr std::int64_t kChunkBytes = 24 * 1024;  // of weights: half of a first-level cache
constexpr std::int64_t kRegionBytes = 1 << 20;   // of weights that every region reads again: half of a second-level one

struct Operands {
  const std::int8_t* weights = nullptr;  // of the first block
  std::int64_t block_stride = 0;
  // Weights that will be needed soon: fetched into the second-level cache, `ahead_lines` lines a step of the loop.
  const std::int8_t* ahead = nullptr;
  std::int64_t ahead_lines = 0;
};

// Leaves the group's sums in tmm0 to tmm3.
template <bool Unsigned, int Tiles, int Blocks>
void sum_group(const direct::Geometry& g, const Group& group, const Operands& o) {
  const std::int64_t weight_rows = 64;
  // (Biases are added with the vector units: loading them into the tiles costs more than all else here together.)
  OCTET_TILE_ZERO(0);
  if constexpr (Tiles == 2) OCTET_TILE_ZERO(1);
  if constexpr (Blocks == 2) OCTET_TILE_ZERO(2);
  if constexpr (Blocks == 2 && Tiles == 2) OCTET_TILE_ZERO(3);
  const std::int8_t *weights = o.weights, *ahead = o.ahead;
  for (std::int64_t row = 0; row < g.run_rows; ++row) {
    for (std::int64_t tap = 0; tap < g.run_taps; ++tap) {
      std::int64_t offset = row * g.row_step + tap * g.tap_step;
      for (std::int64_t step = 0; step < g.groups; step += 16, offset += 64, weights += kTileBytes) {
        OCTET_TILE_LOAD(6, weights, weight_rows);
        OCTET_TILE_LOAD(4, group.first + offset, g.pixel_step);
        if constexpr (Tiles == 2) OCTET_TILE_LOAD(5, group.second + offset, g.pixel_step);
        if constexpr (Blocks == 2) OCTET_TILE_LOAD(7, weights + o.block_stride, weight_rows);
        multiply<Unsigned, true, Tiles == 2, Blocks>();
        for (std::int64_t line = 0; line < o.ahead_lines; ++line, ahead += 64) __builtin_prefetch(ahead, 0, 2);
      }
    }
  }
}

using SumGroup = void (*)(const direct::Geometry&, const Group&, const Operands&);
constexpr SumGroup kSumGroup[2][2][2] = {
    {{sum_group<false, 1, 1>, sum_group<false, 1, 2>}, {sum_group<false, 2, 1>, sum_group<false, 2, 2>}},
    {{sum_group<true, 1, 1>, sum_group<true, 1, 2>}, {sum_group<true, 2, 1>, sum_group<true, 2, 2>}}};

// Sums in memory that wait to become outputs.
struct Waiting {
  const Group* group = nullptr;
  std::int64_t channel = 0, channels = 0;
};

// Tile t of a step: region after region of pixels, in each chunk after chunk of channels, in each group after group of
// pixels, in each pair after pair of channel blocks.
//
// A chunk is two pairs at least, because 64 channels are a cache line of outputs, which should be written at once; more
// where their weights stay in the first-level cache. Threads share a step by tiles in order: regions make a thread's
// share some rows of the image rather than some channels of all rows, so that the next layer finds its inputs in the
// same core's cache. Weights of more than kRegionBytes are read once instead: there is one region, and a share is
// some channels of all rows.
class Direct {
 public:
  Direct(const StepArgs& args, void* scratch)
      : args_(args),
        p_(*static_cast<const ConvParams*>(args.params)),
        e_(avx512::constants_of(args)),
        g_(direct::geometry_of<Packing>(args)),
        groups_(args, g_),
        sums_(static_cast<GroupSums*>(scratch)) {
    o_.block_stride = direct::block_size<Packing>(g_);
    pairs_ = pairs(args);
    const std::int64_t fit = kChunkBytes / (2 * o_.block_stride);
    chunk_pairs_ = fit < 2 ? 2 : fit;
    const std::int64_t bytes = pairs_ * 2 * o_.block_stride, count = groups_.count();
    regions_ = count >= 16 && bytes <= kRegionBytes / 2 ? 4 : count >= 4 && bytes <= kRegionBytes ? 2 : 1;
  }

  static std::int64_t tiles(const StepArgs& args) {
    const direct::Geometry g = direct::geometry_of<Packing>(args);
    return Groups(args, g).count() * pairs(args);
  }

  // The unit works on one tile while the vector units requantise the one before it.
  void run(std::int64_t first, std::int64_t last) {
    configure(groups_.rows());
    start(first);
    for (std::int64_t t = first; t < last; ++t) {
      Waiting& now = waiting_[t % 2];
      prepare(now);
      const bool two_tiles = now.group->second != nullptr, two_blocks = now.channels > 16;
      kSumGroup[args_.inputs[0].type == DType::u8][two_tiles][two_blocks](g_, *now.group, o_);
      if (t > first) store(t - 1);
      keep(sums_[t % 2], two_tiles, two_blocks);
      advance();
    }
    release();
    if (last > first) store(last - 1);
  }

 private:
  static std::int64_t pairs(const StepArgs& args) {
    return (direct::blocks<Packing>(args) + Packing::kMaxBlocks - 1) / Packing::kMaxBlocks;
  }

  std::int64_t pairs_from(std::int64_t pair) const {
    return pairs_ - pair < chunk_pairs_ ? pairs_ - pair : chunk_pairs_;
  }

  std::int64_t region_start(std::int64_t region) const { return groups_.count() * region / regions_; }

  void start(std::int64_t t) {
    region_ = 0;
    while (region_ + 1 < regions_ && t >= region_start(region_ + 1) * pairs_) ++region_;
    enter_region();
    t -= first_group_ * pairs_;
    const std::int64_t whole = of_region_ * chunk_pairs_;
    enter_chunk(t / whole * chunk_pairs_);
    const std::int64_t inside = t % whole;
    group_ = inside / of_chunk_, pair_ = inside % of_chunk_;
    o_.ahead += inside * steps_ * o_.ahead_lines * 64;
    find();
  }

  void enter_region() {
    first_group_ = region_start(region_);
    of_region_ = region_start(region_ + 1) - first_group_;
  }

  void enter_chunk(std::int64_t pair) {
    chunk_ = pair, of_chunk_ = pairs_from(pair);
    group_ = pair_ = 0;
    // The next chunk's weights are fetched meanwhile, spread over all steps of this one.
    const std::int64_t next = pair + of_chunk_, lines = next < pairs_ ? pairs_from(next) * 2 * o_.block_stride / 64 : 0;
    steps_ = o_.block_stride / kTileBytes;
    const std::int64_t all = of_region_ * of_chunk_ * steps_;
    o_.ahead_lines = (lines + all - 1) / all;
    o_.ahead = static_cast<const std::int8_t*>(p_.weights) + next * 2 * o_.block_stride;
  }

  void advance() {
    o_.ahead += steps_ * o_.ahead_lines * 64;
    if (++pair_ < of_chunk_) return;
    pair_ = 0;
    if (++group_ == of_region_) {
      std::int64_t next = chunk_ + of_chunk_;
      if (next >= pairs_) {
        if (++region_ == regions_) return;
        enter_region();
        next = 0;
      }
      enter_chunk(next);
    }
    find();
  }

  // The group before may still wait for its last store.
  void find() {
    current_ = 1 - current_;
    groups_.find(first_group_ + group_, found_[current_]);
  }

  void prepare(Waiting& now) {
    const std::int64_t pair = chunk_ + pair_, left = args_.output.c - 32 * pair;
    now = {&found_[current_], 32 * pair, left < 32 ? left : 32};
    o_.weights = static_cast<const std::int8_t*>(p_.weights) + pair * 2 * o_.block_stride;
  }

  static void keep(GroupSums& sums, bool two_tiles, bool two_blocks) {
    OCTET_TILE_STORE(0, sums.of[0][0]);
    if (two_tiles) OCTET_TILE_STORE(1, sums.of[0][1]);
    if (two_blocks) OCTET_TILE_STORE(2, sums.of[1][0]);
    if (two_blocks && two_tiles) OCTET_TILE_STORE(3, sums.of[1][1]);
  }

  void store(std::int64_t t) const {
    const Waiting& w = waiting_[t % 2];
    const auto call = w.channels > 16 ? store_group<2> : store_group<1>;
    call(e_, sums_[t % 2], *w.group, p_.fused_max_pool, groups_.rows(), w.channel, w.channels);
  }

  const StepArgs& args_;
  const ConvParams& p_;
  const avx512::Constants e_;
  const direct::Geometry g_;
  const Groups groups_;
  GroupSums* sums_;
  Operands o_;
  std::int64_t pairs_ = 1, chunk_pairs_ = 1, steps_ = 1;
  std::int64_t regions_ = 1;
  // Where the next tile is.
  std::int64_t region_ = 0, first_group_ = 0, of_region_ = 1, chunk_ = 0, of_chunk_ = 1, group_ = 0, pair_ = 0;
  Group found_[2];  // this group of pixels and the one before
  int current_ = 0;
  Waiting waiting_[2];
};

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  if (strip::suits(args)) return strip::Strip(args, scratch).run(first, last);
  Direct(args, scratch).run(first, last);
}
std::int64_t tiles(const StepArgs& args) { return strip::suits(args) ? strip::tiles(args) : Direct::tiles(args); }
Tile tile(const StepArgs& args) {
  if (strip::suits(args)) return {2 * kPixels, 16};
  const direct::Geometry g = direct::geometry_of<Packing>(args);
  return {static_cast<std::int32_t>(2 * Groups(args, g).rows()), args.output.c > 16 ? 32 : 16};
}
std::size_t packed_bytes(const StepArgs& args) {
  return strip::suits(args) ? strip::packed_bytes(args) : direct::packed_bytes<Packing>(args);
}
void pack(const StepArgs& args, const void* weights, void* packed) {
  (strip::suits(args) ? strip::pack : direct::pack<Packing>)(args, weights, packed);
}
std::size_t scratch_bytes(const StepArgs& args) { return strip::suits(args) ? strip::scratch_bytes(args) : kScratch; }

// A tile of sums passes through memory, which a few multiplications do not pay for (measured: at a depth of 32 the
// vector units are a third faster, at 64 a third slower).
const char* refuse(const StepArgs& args) {
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  const bool shallow = w.kernel_h * w.kernel_w * args.inputs[0].c <= 32;
  if (direct::is_narrow(args)) return "at most 4 output channels: vectors along the depth are faster";
  return shallow ? "fewer than 33 products for each output: vector instructions are faster" : direct::refuse(args);
}

}  // namespace

extern const Kernel conv2d_s8_amx;
const Kernel conv2d_s8_amx = {
    .op = "conv2d_s8",
    .isa = "amx",
    .refuse = refuse,
    .tiles = tiles,
    .run = run,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
    .reads_halo = true,
    .fuses_max_pool = true,
    .fuses_add = true,
    .tile = tile,
};

}  // namespace octet::kernels
