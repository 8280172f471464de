// linear_s8_portable: one tile is a block of output features of two images (or one): their inputs are widened to int16
// once, then multiplied with four rows of weights at a time.
//
// Packed weights, int16: [outputs padded to 4][features padded to 16], rows as in PyTorch.
#include "kernels/cpu/portable.h"

namespace octet::kernels {
namespace {

constexpr std::int64_t kBlock = 64;  // output features of one tile

std::int64_t features(const StepArgs& args) {
  const View& in = args.inputs[0];
  return std::int64_t{in.h} * in.w * in.c;
}
std::int64_t depth(const StepArgs& args) { return portable::round_up(features(args), portable::kDepth); }
std::int64_t blocks(const StepArgs& args) { return (args.output.c + kBlock - 1) / kBlock; }

std::int64_t tiles(const StepArgs& args) {
  return (args.output.n + portable::kPixels - 1) / portable::kPixels * blocks(args);
}

std::size_t packed_bytes(const StepArgs& args) {
  return static_cast<std::size_t>(portable::round_up(args.output.c, portable::kChannels) * depth(args)) *
         sizeof(std::int16_t);
}

void pack(const StepArgs& args, const void* weights, void* packed) {
  std::memset(packed, 0, packed_bytes(args));
  const auto* source = static_cast<const std::int8_t*>(weights);
  for (std::int64_t o = 0; o < args.output.c; ++o) {
    portable::widen(source + o * features(args), static_cast<std::int16_t*>(packed) + o * depth(args), features(args));
  }
}

std::size_t scratch_bytes(const StepArgs& args) {
  return static_cast<std::size_t>(portable::kPixels * depth(args)) * sizeof(std::int16_t);
}

template <class T>
void gather(const View& in, std::int64_t n, std::int16_t* row) {
  for (std::int64_t y = 0; y < in.h; ++y) {
    for (std::int64_t x = 0; x < in.w; ++x, row += in.c) portable::widen(in.at<T>(n, y, x), row, in.c);
  }
}

template <class T>
void run_blocks(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const View& out = args.output;
  auto* x = static_cast<std::int16_t*>(scratch);
  std::memset(scratch, 0, scratch_bytes(args));
  std::int64_t gathered = -1;
  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t n = tile / blocks(args) * portable::kPixels;
    const std::int64_t images = out.n - n < portable::kPixels ? out.n - n : portable::kPixels;
    if (n != gathered) {
      for (std::int64_t i = 0; i < images; ++i) gather<T>(args.inputs[0], n + i, x + i * depth(args));
      gathered = n;
    }
    const std::int64_t from = tile % blocks(args) * kBlock;
    const std::int64_t to = from + kBlock < out.c ? from + kBlock : out.c;
    for (std::int64_t o = from; o < to; o += portable::kChannels) {
      std::int32_t sums[portable::kPixels][portable::kChannels];
      portable::dot_2x4(x, static_cast<const std::int16_t*>(p.weights) + o * depth(args), depth(args), sums);
      const std::int64_t count = to - o < portable::kChannels ? to - o : portable::kChannels;
      for (std::int64_t i = 0; i < images; ++i) {
        portable::store_channels(p.epilogue, out.type, portable::pixel(out, n + i, 0, 0, o), o, count, sums[i]);
      }
    }
  }
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  const bool is_unsigned = args.inputs[0].type == DType::u8;
  (is_unsigned ? run_blocks<std::uint8_t> : run_blocks<std::int8_t>)(args, first, last, scratch);
}

}  // namespace

extern const Kernel linear_s8_portable;
const Kernel linear_s8_portable = {
    .op = "linear_s8",
    .isa = "portable",
    .refuse = accept,
    .tiles = tiles,
    .run = run,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
};

}  // namespace octet::kernels
