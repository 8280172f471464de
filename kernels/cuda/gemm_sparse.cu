// Host side of gemm_sparse.cuh: which steps it can run, the choice of tile, packing, launching.
#include "kernels/cuda/gemm_sparse.cuh"

#include <cuda_runtime.h>

#include <array>
#include <cstring>

#include "kernels/cuda/convolution.h"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/gemm_sparse.h"

namespace octet::kernels::cuda::sparse_host {
namespace {

struct Tile {
  int m, n, warp_n;
  const char* text;
};
constexpr std::array<Tile, kTiles> kTileTable = {{{128, 16, 16, "128x16x64, 3 stages"},
                                                  {128, 32, 32, "128x32x64, 3 stages"},
                                                  {64, 64, 32, "64x64x64, 3 stages"},
                                                  {64, 128, 64, "64x128x64, 3 stages"},
                                                  {32, 128, 32, "32x128x64, 3 stages"}}};
const Tile& tile_of(int config) { return kTileTable[static_cast<std::size_t>(config)]; }

bool wide(const StepArgs& args) { return args.inputs[0].type == DType::s16; }
int taps_of(const StepArgs& args) { return static_cast<const ConvParams*>(args.params)->taps; }
std::int64_t tap_bytes(const StepArgs& args) { return round_up(args.inputs[0].c * size_of(args.inputs[0].type), 16); }
std::int64_t columns(const StepArgs& args, const Tile& tile) { return round_up(args.output.c, tile.warp_n); }
// The sums of each channel's weights lie behind the weights.
std::int64_t weight_bytes(const StepArgs& args, const Tile& tile) {
  return taps_of(args) * columns(args, tile) * tap_bytes(args);
}

SparseTask task_of(const StepArgs& args, const Launch& launch, const Tile& tile) {
  const View &in = args.inputs[0], &map = args.inputs[args.input_count - 1], &out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  SparseTask t;
  t.in = in.data, t.in_pitch = in.stride_w * size_of(in.type);
  t.weights = static_cast<const std::byte*>(p.weights);
  t.weight_sums = reinterpret_cast<const std::int32_t*>(t.weights + weight_bytes(args, tile));
  t.map = reinterpret_cast<const std::int32_t*>(map.data), t.map_stride = map.stride_c;
  t.rows = launch.rows, t.capacity = out.w, t.out_pitch = out.stride_w;
  t.taps = p.taps, t.tap_bytes = static_cast<int>(tap_bytes(args));
  t.columns = static_cast<int>(columns(args, tile));
  t.tiles_n = static_cast<int>(ceil_div(out.c, tile.n));
  t.zero = p.zero_in, t.fill = static_cast<std::uint32_t>(p.zero_in & 0xFF) * 0x01010101u;
  t.finish = Finish(p.epilogue, out);
  return t;
}

template <int kM, int kN, int kWarpM, int kWarpN>
int start_tile(const StepArgs& args, const Launch& launch) {
  const SparseTask t = task_of(args, launch, tile_of(launch.config));
  const auto kernel = wide(args)                         ? gemm_sparse<kM, kN, kWarpM, kWarpN, SparseInput::wide>
                      : args.inputs[0].type == DType::u8 ? gemm_sparse<kM, kN, kWarpM, kWarpN, SparseInput::u8>
                                                         : gemm_sparse<kM, kN, kWarpM, kWarpN, SparseInput::s8>;
  const std::int64_t blocks = ceil_div(t.capacity, kM) * t.tiles_n;
  return start(kernel, dim3(static_cast<unsigned>(blocks)), MmaTile<kM, kN, kWarpM, kWarpN>::kThreads, launch, t);
}

}  // namespace

const char* refuse(const StepArgs& args, const Gpu&) {
  const View& in = args.inputs[0];
  const bool aligned = in.stride_c == 1 && in.stride_w * size_of(in.type) % 16 == 0 &&
                       reinterpret_cast<std::uintptr_t>(in.data) % 16 == 0;
  return aligned ? nullptr : "rows that are not aligned to 16 bytes";
}

int launch(const StepArgs& args, const Launch& launch) {
  if (args.output.w == 0) return cudaSuccess;  // no rows
  switch (launch.config) {
    case 0:
      return start_tile<128, 16, 32, 16>(args, launch);
    case 1:
      return start_tile<128, 32, 32, 32>(args, launch);
    case 2:
      return start_tile<64, 64, 32, 32>(args, launch);
    case 3:
      return start_tile<64, 128, 32, 64>(args, launch);
    default:
      return start_tile<32, 128, 32, 32>(args, launch);
  }
}

// By the channels alone: how many rows there are is known when a frame is there.
int configure(const StepArgs& args, const Gpu&) {
  const int channels = args.output.c;
  return channels <= 16 ? 0 : channels <= 32 ? 1 : channels <= 64 ? 2 : 3;
}

const char* describe(int config) { return tile_of(config).text; }

std::size_t packed_bytes(const StepArgs& args, int config) {
  return static_cast<std::size_t>(weight_bytes(args, tile_of(config)) +
                                  round_up(args.output.c, 4) * static_cast<std::int64_t>(sizeof(std::int32_t)));
}

// From [O, taps, C] to [tap][column][tap_bytes], columns in groups permuted as epilogue.cuh says; wide: each weight at
// an even byte. Then the sums.
void pack(const StepArgs& args, int config, const void* weights, void* packed) {
  const Tile& tile = tile_of(config);
  const int taps = taps_of(args), depth = args.inputs[0].c, step = size_of(args.inputs[0].type);
  const auto* from = static_cast<const std::int8_t*>(weights);
  auto* to = static_cast<std::int8_t*>(packed);
  std::memset(packed, 0, packed_bytes(args, config));
  for (std::int64_t column = 0; column < columns(args, tile); ++column) {
    const int group = tile.warp_n;
    const std::int64_t channel = column / group * group + channel_of_column(static_cast<int>(column % group), group);
    if (channel >= args.output.c) continue;
    std::int32_t sum = 0;
    for (int tap = 0; tap < taps; ++tap) {
      std::int8_t* row = to + (tap * columns(args, tile) + column) * tap_bytes(args);
      for (int d = 0; d < depth; ++d) {
        row[d * step] = from[(channel * taps + tap) * depth + d];
        sum += row[d * step];
      }
    }
    std::memcpy(to + weight_bytes(args, tile) + channel * static_cast<std::int64_t>(sizeof sum), &sum, sizeof sum);
  }
}

}  // namespace octet::kernels::cuda::sparse_host
