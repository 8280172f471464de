// conv2d_s8_amx: direct convolution on the tile unit. One instruction multiplies 16 pixels x 64 bytes of depth with
// 64 bytes x 16 channels:
//
//     tmm4, tmm5   inputs    16 rows = pixels, 64 bytes of a run each; rows are one pixel step apart in NHWC memory, so
//                            neighbouring rows overlap and nothing has to be copied together first
//     tmm6, tmm7   weights   16 rows = groups of 4 bytes, 16 channels each (direct_conv.h draws the packing)
//     tmm0..tmm3   sums      [2 tiles of pixels][2 blocks of channels], starting at the bias
//
// The unit's time does not depend on how much of the 64 bytes is padding, so runs are padded to whole tiles. With a
// fused max-pool the two tiles of pixels are two rows of the image. s8 x s8 and u8 x s8 exist, so no offset is needed.
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

constexpr std::size_t kScratch = 4 * sizeof(Sums) + 64;  // four tiles

// sums += inputs x weights for both tiles of pixels and `blocks` blocks of channels.
template <bool Unsigned, int Blocks>
inline void multiply() {
  if constexpr (Unsigned) {
    asm volatile("tdpbusd %tmm6, %tmm4, %tmm0");
    asm volatile("tdpbusd %tmm6, %tmm5, %tmm1");
    if constexpr (Blocks == 2) asm volatile("tdpbusd %tmm7, %tmm4, %tmm2");
    if constexpr (Blocks == 2) asm volatile("tdpbusd %tmm7, %tmm5, %tmm3");
  } else {
    asm volatile("tdpbssd %tmm6, %tmm4, %tmm0");
    asm volatile("tdpbssd %tmm6, %tmm5, %tmm1");
    if constexpr (Blocks == 2) asm volatile("tdpbssd %tmm7, %tmm4, %tmm2");
    if constexpr (Blocks == 2) asm volatile("tdpbssd %tmm7, %tmm5, %tmm3");
  }
}

// The sums of two tiles of pixels, at `first` and `second`, into scratch[block][tile].
template <bool Unsigned, int Blocks>
void micro(const direct::Geometry& g, const std::byte* first, const std::byte* second, const std::int8_t* weights,
           std::int64_t block_stride, const std::int32_t* bias, Sums* scratch) {
  const std::int64_t none = 0, weight_rows = 64;
  OCTET_TILE_LOAD(0, bias, none);  // a stride of 0: every pixel starts at the same biases
  OCTET_TILE_LOAD(1, bias, none);
  if constexpr (Blocks == 2) OCTET_TILE_LOAD(2, bias + 16, none);
  if constexpr (Blocks == 2) OCTET_TILE_LOAD(3, bias + 16, none);
  for (std::int64_t row = 0; row < g.run_rows; ++row) {
    for (std::int64_t tap = 0; tap < g.run_taps; ++tap) {
      std::int64_t offset = row * g.row_step + tap * g.tap_step;
      for (std::int64_t group = 0; group < g.groups; group += 16, offset += 64, weights += kTileBytes) {
        OCTET_TILE_LOAD(6, weights, weight_rows);
        OCTET_TILE_LOAD(4, first + offset, g.pixel_step);
        OCTET_TILE_LOAD(5, second + offset, g.pixel_step);
        if constexpr (Blocks == 2) OCTET_TILE_LOAD(7, weights + block_stride, weight_rows);
        multiply<Unsigned, Blocks>();
      }
    }
  }
  OCTET_TILE_STORE(0, scratch[0]);
  OCTET_TILE_STORE(1, scratch[1]);
  if constexpr (Blocks == 2) OCTET_TILE_STORE(2, scratch[2]);
  if constexpr (Blocks == 2) OCTET_TILE_STORE(3, scratch[3]);
}

struct Row {
  direct::Geometry g;
  const std::int8_t* weights;
  std::int64_t block_stride, channel, channels, blocks, pixels;  // pixels: rows of a tile
  std::byte* out;
  std::int64_t out_step, out_size;
  Sums* scratch;
};

void compute(const Row& r, const avx512::Constants& e, const std::byte* first, const std::byte* second,
             bool is_unsigned) {
  const auto call = is_unsigned ? (r.blocks == 2 ? micro<true, 2> : micro<true, 1>)
                                : (r.blocks == 2 ? micro<false, 2> : micro<false, 1>);
  call(r.g, first, second, r.weights, r.block_stride, e.bias + r.channel, r.scratch);
}

// A row of outputs. Tiles that would pass its end are moved back: pixels may be computed twice, with the same result.
void run_row(const Row& r, const avx512::Constants& e, bool is_unsigned, bool pooled) {
  const std::int64_t outputs = pooled ? r.pixels / 2 : r.pixels;  // of one tile
  const std::int64_t step = pooled ? outputs : 2 * outputs;
  for (std::int64_t x = 0; x < r.g.width; x += step) {
    const std::int64_t x0 = x + outputs <= r.g.width ? x : r.g.width - outputs;
    const std::int64_t x1 = pooled ? x0 : (x0 + 2 * outputs <= r.g.width ? x0 + outputs : r.g.width - outputs);
    const std::byte* first = r.g.input + x0 * (pooled ? 2 : 1) * r.g.pixel_step;
    const std::byte* second = pooled ? first + r.g.pool_row_step : r.g.input + x1 * r.g.pixel_step;
    compute(r, e, first, second, is_unsigned);
    for (std::int64_t b = 0; b < r.blocks; ++b) {
      const std::int64_t left = r.channels - 16 * b, count = left < 16 ? left : 16;
      const __m512 multiplier = _mm512_loadu_ps(e.multiplier + r.channel + 16 * b);
      const auto at = [&](std::int64_t pixel) { return r.out + pixel * r.out_step + 16 * b * r.out_size; };
      const Sums* sums = r.scratch + 2 * b;
      if (pooled) {
        store_pooled(e, multiplier, sums[0], sums[1], outputs, count, at(x0), r.out_step);
      } else {
        store_tile(e, multiplier, sums[0], outputs, count, at(x0), r.out_step);
        store_tile(e, multiplier, sums[1], outputs, count, at(x1), r.out_step);
      }
    }
  }
}

void run_direct(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const avx512::Constants e = avx512::constants_of(args);
  Row r{};
  r.g = direct::geometry_of<Packing>(args);
  r.block_stride = direct::block_size<Packing>(r.g);
  r.out_size = e.form == Epilogue::Form::real ? 4 : 1;
  r.out_step = out.stride_w * r.out_size;
  r.scratch = static_cast<Sums*>(scratch);
  const std::int64_t pool = p.fused_max_pool ? 2 : 1;
  r.pixels = pool * r.g.width < kPixels ? pool * r.g.width : kPixels;
  const std::int64_t rows = std::int64_t{out.n} * out.h, blocks = direct::blocks<Packing>(args);

  configure(r.pixels);
  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t block = tile / rows * Packing::kMaxBlocks, n = tile % rows / out.h, oy = tile % rows % out.h;
    r.blocks = blocks - block < Packing::kMaxBlocks ? blocks - block : Packing::kMaxBlocks;
    r.channel = block * 16;
    r.channels = out.c - r.channel < 16 * r.blocks ? out.c - r.channel : 16 * r.blocks;
    r.weights = static_cast<const std::int8_t*>(p.weights) + block * r.block_stride;
    const std::int64_t y = oy * pool * p.window.stride_h - p.window.pad_top;
    r.g.input = reinterpret_cast<const std::byte*>(in.at<std::uint8_t>(n, y, -p.window.pad_left));
    r.out = out.data + (n * out.stride_n + oy * out.stride_h + r.channel) * r.out_size;
    run_row(r, e, in.type == DType::u8, p.fused_max_pool);
  }
  release();
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  (strip::suits(args) ? strip::run : run_direct)(args, first, last, scratch);
}
std::int64_t tiles(const StepArgs& args) {
  return strip::suits(args) ? strip::tiles(args) : direct::tiles<Packing>(args);
}
std::size_t packed_bytes(const StepArgs& args) {
  return strip::suits(args) ? strip::packed_bytes(args) : direct::packed_bytes<Packing>(args);
}
void pack(const StepArgs& args, const void* weights, void* packed) {
  (strip::suits(args) ? strip::pack : direct::pack<Packing>)(args, weights, packed);
}
std::size_t scratch_bytes(const StepArgs& args) { return strip::suits(args) ? strip::scratch_bytes(args) : kScratch; }

}  // namespace

extern const Kernel conv2d_s8_amx;
const Kernel conv2d_s8_amx = {
    .op = "conv2d_s8",
    .isa = "amx",
    .refuse = direct::refuse,
    .tiles = tiles,
    .run = run,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
    .reads_halo = true,
    .fuses_max_pool = true,
};

}  // namespace octet::kernels
