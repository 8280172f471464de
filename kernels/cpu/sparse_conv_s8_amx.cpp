// sparse_conv_s8_amx: sparse convolution on the tile unit, output by output: a group is 32 neighbouring output rows
// (two tiles) whose sums stay in tile registers over all taps.
//
//     line     64 bytes of depth of every row of the group: one tap's neighbours, or two taps' when a row of features
//              has at most 32 bytes:
//
//                  row 0   | tap 2, row 7 of the input | tap 3, row 8  |       gathered into a stage in memory, from
//                  row 1   | tap 2, row 8 of the input | absent        |       which tiles are loaded; an absent
//                  ...                                                         neighbour is a row of zero points
//
//     skipped  lines in which no row of the group has a neighbour; they are not even gathered. What remains is 60 %
//     full
//              on LiDAR frames, since rows ascend along x and neighbours' neighbourhoods are alike.
//
// sparse_conv.h lists the neighbours that are there instead, which multiplies nothing in vain but adds each product to
// sums in memory. Here a product costs a sixth, so what is saved is the moving around.
//
// Where the zero point is not 0, no line may be skipped (absent neighbours then count zero_in * weight each, which the
// packed `start` takes off again for all taps together).
#include <cstring>

#include "kernels/cpu/amx.h"

namespace octet::kernels {
namespace {

using namespace amx;

constexpr std::int64_t kRows = 2 * kPixels;         // of a group
constexpr std::int64_t kGroupsOfTile = 4;           // groups that a thread takes at a time
constexpr std::int64_t kLineBytes = kRows * 64;     // of the stage
constexpr std::int64_t kLine = 64, kMostSlots = 2;  // bytes of depth; taps that may share them

// How depth is cut into lines.
struct Depth {
  std::int64_t channels, taps;
  std::int64_t slot;    // bytes of one tap in a line: 32 or 64
  std::int64_t slots;   // taps of a line: 2 or 1
  std::int64_t parts;   // lines of a tap, when one is not enough
  std::int64_t lines;   // of all taps
  std::int64_t blocks;  // of 16 output channels

  explicit Depth(const StepArgs& args) {
    channels = args.inputs[0].c;
    taps = static_cast<const ConvParams*>(args.params)->taps;
    slot = channels <= 32 ? 32 : kLine;
    slots = kLine / slot;
    parts = (channels + kLine - 1) / kLine;
    lines = (taps + slots - 1) / slots * parts;
    blocks = (args.output.c + 15) / 16;
  }
};

// Packed: `start` of each output channel, a row of zero points (what absent neighbours are), and then the weights,
// [block of 16 channels][line][16 groups of 4 bytes][16 channels][4].
struct Packed {
  std::int64_t absent_at, weights_at, bytes;

  explicit Packed(const Depth& d) {
    absent_at = d.blocks * 64;
    weights_at = absent_at + d.parts * kLine;
    bytes = weights_at + d.blocks * d.lines * kTileBytes;
  }
};

std::size_t packed_bytes(const StepArgs& args) { return static_cast<std::size_t>(Packed(Depth(args)).bytes); }

void pack(const StepArgs& args, const void* source, void* packed) {
  const Depth d(args);
  const Packed places(d);
  const std::int32_t zero = static_cast<const ConvParams*>(args.params)->zero_in;
  auto* const to = static_cast<std::byte*>(packed);
  std::memset(to, 0, static_cast<std::size_t>(places.bytes));
  std::memset(to + places.absent_at, zero, static_cast<std::size_t>(d.parts * kLine));
  const auto* from = static_cast<const std::int8_t*>(source);
  auto* start = reinterpret_cast<std::int32_t*>(to);
  for (std::int64_t o = 0; o < args.output.c; ++o) {
    std::byte* const block = to + places.weights_at + o / 16 * d.lines * kTileBytes + o % 16 * 4;
    for (std::int64_t tap = 0; tap < d.taps; ++tap) {
      for (std::int64_t c = 0; c < d.channels; ++c) {
        const std::int64_t line = tap / d.slots * d.parts + c / kLine, at = tap % d.slots * d.slot + c % kLine;
        block[line * kTileBytes + at / 4 * 64 + at % 4] = static_cast<std::byte>(*from);
        start[o] -= zero * *from++;
      }
    }
  }
}

// A line that is in a group's stage.
struct Gathered {
  std::int64_t line;  // of the weights
  std::int64_t at;    // in the stage, bytes
};
enum Tiles { kBoth, kFirst, kSecond };  // which tiles of a group a line has neighbours for

// Rows that are summed, or that are being gathered meanwhile for the next sums.
struct Rows {
  std::byte* stage = nullptr;
  Gathered* lists[3] = {};  // one a kind of Tiles: each is multiplied by a loop of its own, without branches
  std::int64_t counts[3] = {};
  std::int64_t from = 0, count = 0;
  std::int64_t next_tap = 0;  // to be gathered
  std::byte* end = nullptr;   // of what is in the stage
};

// Scratch memory: two stages, two sums and two times three lists.
struct Scratch {
  std::int64_t stage_size, sums_at, list_at, list_size, bytes;

  explicit Scratch(const Depth& d) {
    stage_size = d.lines * kLineBytes;
    sums_at = 2 * stage_size;
    list_at = sums_at + 2 * static_cast<std::int64_t>(sizeof(GroupSums));
    list_size = d.lines * static_cast<std::int64_t>(sizeof(Gathered));
    bytes = list_at + 6 * list_size;
  }
};

std::size_t scratch_bytes(const StepArgs& args) { return static_cast<std::size_t>(Scratch(Depth(args)).bytes); }

// sums += line x weights, for the tiles that have it.
template <bool Unsigned, Tiles Which, int Blocks>
void add_lines(const Gathered* list, std::int64_t count, const std::byte* stage, const std::byte* weights,
               std::int64_t block_stride) {
  const std::int64_t step = 64;
  for (const Gathered* g = list; g < list + count; ++g) {
    const std::byte* w = weights + g->line * kTileBytes;
    OCTET_TILE_LOAD(6, w, step);
    if constexpr (Which != kSecond) OCTET_TILE_LOAD(4, stage + g->at, step);
    if constexpr (Which != kFirst) OCTET_TILE_LOAD(5, stage + g->at + kTileBytes, step);
    if constexpr (Blocks == 2) OCTET_TILE_LOAD(7, w + block_stride, step);
    amx::multiply<Unsigned, Which != kSecond, Which != kFirst, Blocks>();
  }
}

using AddLines = void (*)(const Gathered*, std::int64_t, const std::byte*, const std::byte*, std::int64_t);
template <bool Unsigned, int Blocks>
constexpr AddLines kAddLines[3] = {add_lines<Unsigned, kBoth, Blocks>, add_lines<Unsigned, kFirst, Blocks>,
                                   add_lines<Unsigned, kSecond, Blocks>};

class Sparse {
 public:
  Sparse(const StepArgs& args, void* memory)
      : args_(args),
        e_(avx512::constants_of(args)),
        d_(args),
        packed_(static_cast<const std::byte*>(static_cast<const ConvParams*>(args.params)->weights)),
        places_(d_),
        sums_(reinterpret_cast<GroupSums*>(static_cast<std::byte*>(memory) + Scratch(d_).sums_at)) {
    const Scratch scratch(d_);
    auto* const start = static_cast<std::byte*>(memory);
    for (int r = 0; r < 2; ++r) {
      rows_[r].stage = start + r * scratch.stage_size;
      for (int i = 0; i < 3; ++i)
        rows_[r].lists[i] = reinterpret_cast<Gathered*>(start + scratch.list_at + (3 * r + i) * scratch.list_size);
    }
    const bool is_unsigned = args.inputs[0].type == DType::u8;
    one_ = is_unsigned ? kAddLines<true, 1> : kAddLines<false, 1>;
    two_ = is_unsigned ? kAddLines<true, 2> : kAddLines<false, 2>;
    keeps_all_ = static_cast<const ConvParams*>(args.params)->zero_in != 0;
    const std::int64_t last = d_.channels - (d_.parts - 1) * kLine;
    last_ = ~std::uint64_t{0} >> (kLine - last);
  }

  // While the tile unit sums one group, the vector units gather the next.
  void run(std::int64_t first, std::int64_t last) {
    constexpr std::int64_t kTile = kGroupsOfTile * kRows;
    const std::int64_t end = last * kTile < args_.output.w ? last * kTile : args_.output.w;
    configure(kPixels);
    Rows *now = &rows_[0], *next = &rows_[1];
    begin(*now, first * kTile, end);
    while (now->count > 0) {
      while (now->next_tap < d_.taps) gather(*now);  // what is left
      begin(*next, now->from + kRows, end);
      for (std::int64_t block = 0; block < d_.blocks; block += 2) sum(*now, *next, block);
      Rows* const done = now;
      now = next, next = done;
    }
    store_waiting();
    release();
  }

 private:
  void begin(Rows& rows, std::int64_t from, std::int64_t end) const {
    for (std::int64_t& count : rows.counts) count = 0;
    rows.from = from;
    rows.count = end - from < kRows ? end - from : kRows;
    rows.next_tap = rows.count > 0 ? 0 : d_.taps;
    rows.end = rows.stage;
  }

  // Where the neighbours of 16 rows lie; returns which are there.
  __mmask16 find(const std::int32_t* map, __mmask16 inside, const std::byte** to) const {
    const __m512i index = _mm512_mask_loadu_epi32(_mm512_set1_epi32(-1), inside, map);
    const __mmask16 there = _mm512_cmpge_epi32_mask(index, _mm512_setzero_si512());
    const View& in = args_.inputs[0];
    const __m512i base = _mm512_set1_epi64(reinterpret_cast<std::int64_t>(in.data)),
                  step = _mm512_set1_epi64(in.stride_w);
    const __m512i absent = _mm512_set1_epi64(reinterpret_cast<std::int64_t>(packed_ + places_.absent_at));
    const __m512i low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(index));
    const __m512i high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(index, 1));
    const auto address = [&](__m512i i, __mmask8 is_there) {
      return _mm512_mask_add_epi64(absent, is_there, base, _mm512_mul_epi32(i, step));
    };
    _mm512_storeu_si512(to, address(low, static_cast<__mmask8>(there)));
    _mm512_storeu_si512(to + 8, address(high, static_cast<__mmask8>(there >> 8)));
    return there;
  }

  // A tap's neighbours of a whole group to their slot of the line (or, where a tap has several, lines) at `to`.
  void copy(const std::byte* const* from, std::byte* to) const {
    if (d_.slot == 32) {
      const auto mask = static_cast<__mmask32>(last_);
      for (std::int64_t r = 0; r < kRows; ++r)
        _mm256_store_si256(reinterpret_cast<__m256i*>(to + r * kLine), _mm256_maskz_loadu_epi8(mask, from[r]));
    } else {
      for (std::int64_t part = 0; part + 1 < d_.parts; ++part, to += kLineBytes) {
        for (std::int64_t r = 0; r < kRows; ++r)
          _mm512_store_si512(to + r * kLine, _mm512_loadu_si512(from[r] + part * kLine));
      }
      const std::int64_t part = d_.parts - 1;
      for (std::int64_t r = 0; r < kRows; ++r)
        _mm512_store_si512(to + r * kLine, _mm512_maskz_loadu_epi8(last_, from[r] + part * kLine));
    }
  }

  // The next line, or lines, of the stage.
  void gather(Rows& rows) const {
    const std::int64_t tap = rows.next_tap, left = d_.taps - tap, taps = left < d_.slots ? left : d_.slots;
    const __mmask16 inside[2] = {avx512::lanes(rows.count < 16 ? rows.count : 16),
                                 avx512::lanes(rows.count < 16 ? 0 : rows.count - 16)};
    rows.next_tap += d_.slots;
    alignas(64) const std::byte* at[kMostSlots][kRows];
    __mmask16 first = 0, second = 0;
    for (std::int64_t slot = 0; slot < taps; ++slot) {
      const std::int32_t* row = args_.inputs[1].at<std::int32_t>(0, 0, rows.from, tap + slot);
      first = static_cast<__mmask16>(first | find(row, inside[0], at[slot]));
      second = static_cast<__mmask16>(second | find(row + 16, inside[1], at[slot] + 16));
    }
    if (keeps_all_) first = second = 1;
    if (first == 0 && second == 0) return;
    for (std::int64_t slot = 0; slot < taps; ++slot) copy(at[slot], rows.end + slot * d_.slot);
    const Tiles which = first == 0 ? kSecond : second == 0 ? kFirst : kBoth;
    for (std::int64_t part = 0; part < d_.parts; ++part, rows.end += kLineBytes)
      rows.lists[which][rows.counts[which]++] = {tap / d_.slots * d_.parts + part, rows.end - rows.stage};
  }

  // Two blocks of a group's channels, in slices between which a line of the next group is gathered.
  void sum(const Rows& rows, Rows& next, std::int64_t block) {
    const bool two_blocks = block + 1 < d_.blocks;
    const std::int64_t block_stride = d_.lines * kTileBytes;
    const std::byte* weights = packed_ + places_.weights_at + block * block_stride;
    const std::int64_t all = (rows.counts[0] + rows.counts[1] + rows.counts[2]) * ((d_.blocks + 1) / 2);
    const std::int64_t fits = all * d_.slots / d_.taps, slice = fits < 1 ? 1 : fits;
    OCTET_TILE_ZERO(0);
    OCTET_TILE_ZERO(1);
    OCTET_TILE_ZERO(2);
    OCTET_TILE_ZERO(3);
    for (int i = 0; i < 3; ++i) {
      const AddLines add = (two_blocks ? two_ : one_)[i];
      for (std::int64_t at = 0; at < rows.counts[i]; at += slice) {
        const std::int64_t left = rows.counts[i] - at;
        add(rows.lists[i] + at, left < slice ? left : slice, rows.stage, weights, block_stride);
        if (next.next_tap < d_.taps) gather(next);
      }
    }
    store_waiting();
    current_ = 1 - current_;
    GroupSums& sums = sums_[current_];
    OCTET_TILE_STORE(0, sums.of[0][0]);
    OCTET_TILE_STORE(1, sums.of[0][1]);
    if (two_blocks) OCTET_TILE_STORE(2, sums.of[1][0]);
    if (two_blocks) OCTET_TILE_STORE(3, sums.of[1][1]);
    const std::int64_t left = args_.output.c - 16 * block;
    waiting_ = {rows.from, rows.count, 16 * block, left < 32 ? left : 32};
  }

  // The vector units requantise the sums before the last while the tile unit works.
  void store_waiting() {
    if (waiting_.rows == 0) return;
    waiting_.channels > 16 ? store<2>() : store<1>();
    waiting_.rows = 0;
  }

  template <int Blocks>
  void store() const {
    const View& out = args_.output;
    const std::int64_t size = out.type == DType::f32 ? 4 : 1, step = out.stride_w * size;
    const auto* start = reinterpret_cast<const std::int32_t*>(packed_) + waiting_.channel;
    __m512i bias[Blocks];
    for (int b = 0; b < Blocks; ++b) {
      bias[b] =
          _mm512_add_epi32(_mm512_loadu_si512(e_.bias + waiting_.channel + 16 * b), _mm512_loadu_si512(start + 16 * b));
    }
    for (std::int64_t tile = 0; tile * kPixels < waiting_.rows; ++tile) {
      const std::int64_t first = tile * kPixels, left = waiting_.rows - first;
      std::byte* to[kPixels];
      for (std::int64_t r = 0; r < kPixels; ++r) to[r] = out.data + (waiting_.from + first + r) * step;
      const auto get = [&](std::int64_t r, int b) __attribute__((always_inline)) {
        return _mm512_add_epi32(load(sums_[current_].of[b][tile][r]), bias[b]);
      };
      avx512::store_pixels<Blocks>(e_, get, to, left < kPixels ? left : kPixels, waiting_.channel, waiting_.channels);
    }
  }

  const StepArgs& args_;
  const avx512::Constants e_;
  const Depth d_;
  const std::byte* packed_;
  const Packed places_;
  GroupSums* sums_;
  Rows rows_[2];
  const AddLines *one_ = nullptr, *two_ = nullptr;
  bool keeps_all_ = false;
  __mmask64 last_ = 0;  // the last line's channels
  int current_ = 0;
  struct {
    std::int64_t from = 0, rows = 0, channel = 0, channels = 0;
  } waiting_;
};

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  Sparse(args, scratch).run(first, last);
}
std::int64_t tiles(const StepArgs& args) {
  return (args.output.w + kGroupsOfTile * kRows - 1) / (kGroupsOfTile * kRows);
}

// Measured on LiDAR frames: with 16 channels gathering takes as long as vector instructions take for all.
const char* refuse(const StepArgs& args) {
  if (args.inputs[0].c <= 16) return "at most 16 input channels: vector instructions are as fast";
  return refuse_notebook(args);
}

}  // namespace

extern const Kernel sparse_conv_s8_amx;
const Kernel sparse_conv_s8_amx = {
    .op = "sparse_conv_s8",
    .isa = "amx",
    .refuse = refuse,
    .tiles = tiles,
    .run = run,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
};

}  // namespace octet::kernels
