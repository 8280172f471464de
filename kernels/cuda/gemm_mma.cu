// Host side of gemm_mma.cuh: which steps it can run, the choice of tile, launching.
#include "kernels/cuda/gemm_mma.cuh"

#include <cuda_runtime.h>

#include <array>

#include "kernels/cuda/convolution.h"
#include "kernels/cuda/gemm_mma.h"
#include "kernels/cuda/packing.h"

namespace octet::kernels::cuda::mma_host {
namespace {

struct Tile {
  int m, n, warp_m, warp_n;
  const char* text;
};
constexpr std::array<Tile, kTiles> kTileTable = {{{128, 128, 64, 64, "128x128x64, 3 stages"},
                                                  {128, 64, 32, 64, "128x64x64, 3 stages"},
                                                  {64, 64, 32, 64, "64x64x64, 3 stages"},
                                                  {128, 32, 32, 32, "128x32x64, 3 stages"},
                                                  {128, 16, 32, 16, "128x16x64, 3 stages"}}};
const Tile& tile_of(int config) { return kTileTable[static_cast<std::size_t>(config)]; }

bool small_pixels(const Convolution& c) { return c.depth <= 4; }
std::int64_t tap_bytes(const Convolution& c) { return small_pixels(c) ? 4 : round_up(c.depth, 16); }
std::int64_t k_blocks(const Convolution& c) { return ceil_div(c.taps * tap_bytes(c), kBlockBytes); }

MmaTask task_of(const Convolution& c, const Tile& tile) {
  MmaTask t;
  const Window& w = c.p.window;
  t.in = c.in.data, t.weights = static_cast<const std::byte*>(c.p.weights);
  t.stride_n = c.in.stride_n, t.stride_h = static_cast<int>(c.in.stride_h),
  t.stride_w = static_cast<int>(c.in.stride_w);
  t.h = c.in.h, t.w = c.in.w;
  t.kernel_h = w.kernel_h, t.kernel_w = w.kernel_w, t.step_h = w.stride_h, t.step_w = w.stride_w;
  t.pad_top = w.pad_top, t.pad_left = w.pad_left, t.dilation_h = w.dilation_h, t.dilation_w = w.dilation_w;
  t.kernel_columns = Divisor(static_cast<std::uint32_t>(w.kernel_w));
  t.tap_bytes = static_cast<int>(tap_bytes(c)), t.k_blocks = static_cast<int>(k_blocks(c));
  t.pool = c.p.fused_max_pool;
  t.rows = static_cast<int>(c.rows / (t.pool ? 4 : 1));
  t.columns = static_cast<int>(round_up(c.out.c, tile.warp_n));
  t.tiles_n = static_cast<int>(ceil_div(c.out.c, tile.n));
  t.fill = static_cast<std::uint32_t>(c.p.zero_in & 0xFF) * 0x01010101u;
  t.finish = Finish(c.p.epilogue, c.out);
  return t;
}

template <int kM, int kN, int kWarpM, int kWarpN>
cudaError_t start(const Convolution& c, const Launch& launch) {
  using Shape = MmaTile<kM, kN, kWarpM, kWarpN>;
  const MmaTask t = task_of(c, {kM, kN, kWarpM, kWarpN, ""});
  const bool u8 = c.in.type == DType::u8;
  auto kernel = u8 ? gemm_mma<kM, kN, kWarpM, kWarpN, 16, true> : gemm_mma<kM, kN, kWarpM, kWarpN, 16, false>;
  if (small_pixels(c)) {
    kernel = u8 ? gemm_mma<kM, kN, kWarpM, kWarpN, 4, true> : gemm_mma<kM, kN, kWarpM, kWarpN, 4, false>;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = static_cast<unsigned>(ceil_div(c.rows, kM) * t.tiles_n);
  config.blockDim = Shape::kThreads;
  config.stream = launch.stream;
  cudaLaunchAttribute overlap;
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &overlap;
  config.numAttrs = launch.gpu->major >= 9 ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, t);
}

}  // namespace

const char* refuse(const StepArgs& args, bool linear) {
  const Convolution c(args, linear);
  if (c.p.groups != 1) return "several groups";
  if (!c.aligned(small_pixels(c) ? 4 : 16)) return "pixels that are not aligned to the layout's units";
  if (c.rows > INT32_MAX / 2 || c.in.stride_h > INT32_MAX / 2) return "more than 2^30 pixels or bytes a row";
  return nullptr;
}

int launch(const StepArgs& args, const Launch& launch, bool linear) {
  const Convolution c(args, linear);
  switch (launch.config) {
    case 0:
      return start<128, 128, 64, 64>(c, launch);
    case 1:
      return start<128, 64, 32, 64>(c, launch);
    case 2:
      return start<64, 64, 32, 64>(c, launch);
    case 3:
      return start<128, 32, 32, 32>(c, launch);
    default:
      return start<128, 16, 32, 16>(c, launch);
  }
}

// Narrow tiles for few channels; among wide ones the widest that still gives every multiprocessor two blocks.
int configure(const StepArgs& args, const Gpu& gpu, bool linear) {
  const Convolution c(args, linear);
  if (c.out.c <= 16) return 4;
  if (c.out.c <= 32) return 3;
  for (int config = 0; config < 2; ++config) {
    const Tile& tile = tile_of(config);
    if (config == 0 && c.out.c <= 64) continue;
    if (ceil_div(c.rows, tile.m) * ceil_div(c.out.c, tile.n) >= 2 * gpu.multiprocessors) return config;
  }
  return 2;
}

const char* describe(int config) { return tile_of(config).text; }

std::size_t packed_bytes(const StepArgs& args, int config, bool linear) {
  const Convolution c(args, linear);
  return static_cast<std::size_t>(round_up(c.out.c, tile_of(config).warp_n) * k_blocks(c) * kBlockBytes);
}

void pack(const StepArgs& args, int config, const void* weights, void* packed, bool linear) {
  const Convolution c(args, linear);
  pack_columns(c, linear, tile_of(config).warp_n, tap_bytes(c), k_blocks(c) * kBlockBytes, weights, packed);
}

}  // namespace octet::kernels::cuda::mma_host
