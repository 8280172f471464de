// Host side of gemm_wgmma.cuh: which steps it can run, tensor maps, the choice of tile and cluster, launching.
#include "kernels/cuda/gemm_wgmma.cuh"

#include <cuda_runtime.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "kernels/cuda/convolution.h"
#include "kernels/cuda/gemm_wgmma.h"
#include "kernels/cuda/packing.h"

namespace octet::kernels::cuda::wgmma_host {
namespace {

struct Tile {
  int groups, blocks, n;
  int m() const { return groups * blocks * 64; }
  int stage_bytes() const { return (m() + n) * 128; }
};
constexpr std::array<Tile, kTiles> kTileTable = {
    {{2, 1, 256}, {2, 2, 128}, {2, 1, 128}, {2, 1, 64}, {1, 1, 128}, {1, 1, 64}}};
struct Mode {
  int cluster_m, cluster_n, splits;
};
constexpr std::array<Mode, kModes> kModeTable = {{{1, 1, 1}, {2, 1, 1}, {1, 2, 1}, {1, 1, 2}, {1, 1, 4}, {1, 1, 8}}};
Tile tile_of(int config) { return kTileTable[static_cast<std::size_t>(config / kModes)]; }
Mode mode_of(int config) { return kModeTable[static_cast<std::size_t>(config % kModes)]; }

// Shared memory of a multiprocessor that blocks may use (227 KB), for as many blocks as should run there at once.
constexpr int kShared = 227 * 1024;
constexpr int blocks_per_multiprocessor(const Tile& t) { return t.groups == 1 || t.blocks * t.n <= 64 ? 2 : 1; }

int stages_of(const Tile& t) {
  // Alignment, barriers, constants; 1024 more are the system's own, of each block.
  const int fixed = 1024 + WgmmaTile<1, 1, 64>::kBarrierBytes + 2 * t.groups * t.n * 8 + 1024;
  return std::min(WgmmaTile<1, 1, 64>::kMaxStages, (kShared / blocks_per_multiprocessor(t) - fixed) / t.stage_bytes());
}

// How many clusters run at the same time. One lies within one group of 16 or 18 multiprocessors, so some
// multiprocessors have no part in clusters of 4 and more; blocks that waited for them would be a second wave.
int clusters_at_once(const Gpu& gpu, const Tile& tile, int cluster) {
  const int fitting = gpu.multiprocessors * blocks_per_multiprocessor(tile) / cluster;
  return cluster <= 2 ? fitting : std::max(1, fitting - 1);
}

// --- tensor maps

template <class Function>
Function driver_function(const char* name) {
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found;
  if (cudaGetDriverEntryPointByVersion(name, &entry, 12000, cudaEnableDefault, &found) != cudaSuccess) return nullptr;
  return reinterpret_cast<Function>(entry);
}

using EncodeBox = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                               const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                               CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
using EncodePixels = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                                  const cuuint64_t*, const int*, const int*, cuuint32_t, cuuint32_t, const cuuint32_t*,
                                  CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion,
                                  CUtensorMapFloatOOBfill);

// [z][y][x] bytes; a copy is 128 bytes of `rows_y` or `rows_z` rows.
bool encode_box(CUtensorMap& map, const void* data, std::array<std::int64_t, 3> size, std::int64_t stride_y,
                std::int64_t stride_z, int rows_y, int rows_z) {
  static const auto encode = driver_function<EncodeBox>("cuTensorMapEncodeTiled");
  const std::array<cuuint64_t, 3> sizes = {static_cast<cuuint64_t>(size[0]), static_cast<cuuint64_t>(size[1]),
                                           static_cast<cuuint64_t>(size[2])};
  const std::array<cuuint64_t, 2> strides = {static_cast<cuuint64_t>(stride_y), static_cast<cuuint64_t>(stride_z)};
  const std::array<cuuint32_t, 3> box = {128, static_cast<cuuint32_t>(rows_y), static_cast<cuuint32_t>(rows_z)};
  const std::array<cuuint32_t, 3> steps = {1, 1, 1};
  return encode != nullptr &&
         encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 3, const_cast<void*>(data), sizes.data(), strides.data(),
                box.data(), steps.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

// Where a window's first corner may lie, relative to the first and to the last pixel: the copy engine walks the corners
// of a row in steps of the stride while they are within. Ends are chosen so that a row has exactly out.w of them.
struct Corners {
  std::array<int, 2> first, last;  // x, y
};
Corners corners_of(const Convolution& c) {
  const Window& w = c.p.window;
  return {
      {-w.pad_left, -w.pad_top},
      {-w.pad_left + (c.out.w - 1) * w.stride_w + 1 - c.in.w, -w.pad_top + (c.out.h - 1) * w.stride_h + 1 - c.in.h}};
}

bool encode_pixels(CUtensorMap& map, const Convolution& c, int pixels) {
  static const auto encode = driver_function<EncodePixels>("cuTensorMapEncodeIm2col");
  const View& in = c.in;
  const std::array<cuuint64_t, 4> sizes = {static_cast<cuuint64_t>(in.c), static_cast<cuuint64_t>(in.w),
                                           static_cast<cuuint64_t>(in.h), static_cast<cuuint64_t>(in.n)};
  const std::array<cuuint64_t, 3> strides = {static_cast<cuuint64_t>(in.stride_w), static_cast<cuuint64_t>(in.stride_h),
                                             static_cast<cuuint64_t>(in.stride_n)};
  const std::array<cuuint32_t, 4> steps = {1, static_cast<cuuint32_t>(c.p.window.stride_w),
                                           static_cast<cuuint32_t>(c.p.window.stride_h), 1};
  const Corners corners = corners_of(c);
  return encode != nullptr &&
         encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 4, in.data, sizes.data(), strides.data(), corners.first.data(),
                corners.last.data(), 128, static_cast<cuuint32_t>(pixels), steps.data(), CU_TENSOR_MAP_INTERLEAVE_NONE,
                CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

// --- launching

WgmmaTask task_of(const Convolution& c, const Tile& tile, const Mode& mode) {
  WgmmaTask t;
  const Window& w = c.p.window;
  t.rows = static_cast<int>(c.rows);
  t.taps = c.taps, t.tap_blocks = static_cast<int>(ceil_div(c.depth, 128));
  t.unfold = !c.plain_rows();
  t.in_pixels = Pixels(c.out);
  t.stride_h = w.stride_h, t.stride_w = w.stride_w, t.pad_top = w.pad_top, t.pad_left = w.pad_left;
  t.dilation_h = w.dilation_h, t.dilation_w = w.dilation_w, t.kernel_w = w.kernel_w;
  t.cluster_m = mode.cluster_m, t.cluster_n = mode.cluster_n, t.splits = mode.splits;
  t.tiles_m = static_cast<int>(ceil_div(c.rows, std::int64_t{tile.m()} * mode.cluster_m));
  t.tiles_n = static_cast<int>(ceil_div(c.out.c, std::int64_t{tile.n} * mode.cluster_n));
  t.stages = stages_of(tile);
  t.finish = Finish(c.p.epilogue, c.out);
  return t;
}

template <int kGroups, int kBlocks, int kN>
cudaError_t start(const Convolution& c, const Mode& mode, const Launch& launch) {
  using Shape = WgmmaTile<kGroups, kBlocks, kN>;
  const Tile tile = {kGroups, kBlocks, kN};
  const WgmmaTask t = task_of(c, tile, mode);
  CUtensorMap map_a, map_b;
  const int rows_a = Shape::kM / mode.cluster_n, rows_b = kN / mode.cluster_m;
  const bool a = t.unfold
                     ? encode_pixels(map_a, c, rows_a)
                     : encode_box(map_a, c.in.data, {c.depth, c.rows, 1}, c.row_stride(), c.row_stride(), rows_a, 1);
  const std::int64_t depth = round_up(c.depth, 16);
  const bool b =
      encode_box(map_b, c.p.weights, {depth, c.taps, round_up(c.out.c, 64)}, depth, depth * c.taps, 1, rows_b);
  if (!a || !b) return cudaErrorInvalidValue;

  const auto kernel =
      c.in.type == DType::u8 ? gemm_wgmma<kGroups, kBlocks, kN, true> : gemm_wgmma<kGroups, kBlocks, kN, false>;
  const int shared = t.stages * Shape::kStageBytes + Shape::kSharedFixed;
  const cudaError_t status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared);
  if (status != cudaSuccess) return status;

  const int cluster = mode.cluster_m * mode.cluster_n * mode.splits, items = t.tiles_m * t.tiles_n;
  const int blocks =
      (mode.splits > 1 ? items : std::min(items, clusters_at_once(*launch.gpu, tile, cluster))) * cluster;
  cudaLaunchConfig_t config = {};
  config.gridDim = static_cast<unsigned>(blocks);
  config.blockDim = Shape::kThreads;
  config.dynamicSmemBytes = static_cast<std::size_t>(shared);
  config.stream = launch.stream;
  cudaLaunchAttribute attributes[2];
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim = {static_cast<unsigned>(cluster), 1, 1};
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  config.attrs = attributes;
  config.numAttrs = 2;
  return cudaLaunchKernelEx(&config, kernel, map_a, map_b, t);
}

}  // namespace

int launch(const StepArgs& args, const Launch& launch, bool linear) {
  const Convolution c(args, linear);
  const Mode mode = mode_of(launch.config);
  switch (launch.config / kModes) {
    case 0:
      return start<2, 1, 256>(c, mode, launch);
    case 1:
      return start<2, 2, 128>(c, mode, launch);
    case 2:
      return start<2, 1, 128>(c, mode, launch);
    case 3:
      return start<2, 1, 64>(c, mode, launch);
    case 4:
      return start<1, 1, 128>(c, mode, launch);
    default:
      return start<1, 1, 64>(c, mode, launch);
  }
}

const char* refuse(const StepArgs& args, bool linear) {
  const Convolution c(args, linear);
  const Window& w = c.p.window;
  if (c.p.groups != 1) return "several groups";
  if (c.p.fused_max_pool) return "it does not fuse the max-pool";
  if (c.p.epilogue.form == Epilogue::Form::notebook) return "the notebook's requantisation";
  if (c.p.zero_in != 0 && c.padded()) return "padding with a zero point other than 0: the copy engine writes zeros";
  if (c.depth < 64) return "fewer than 64 input channels: most of every stage would be padding";
  if (c.out.c <= 32) return "at most 32 output channels: half of every tile would be padding";
  if (!c.aligned(16)) return "pixels that are not 16-byte aligned";
  if (c.rows > INT32_MAX / 2) return "more than 2^30 output pixels";
  if (w.stride_h > 8 || w.stride_w > 8) return "a stride above 8";
  if (!c.plain_rows()) {
    if ((w.kernel_h - 1) * w.dilation_h > 255 || (w.kernel_w - 1) * w.dilation_w > 255) return "a window above 256";
    const Corners corners = corners_of(c);
    for (const int corner : {corners.first[0], corners.first[1], corners.last[0], corners.last[1]}) {
      if (corner < -128 || corner > 127) return "a window or padding above 128";
    }
  }
  return nullptr;
}

// The estimate, in cycles. A stage takes as long as its slowest part: the products (4,096 a cycle), what comes into the
// multiprocessor (64 bytes a cycle), what L2 gives each of them when all ask, less what is multicast. The constants
// were fitted to all configurations of 80 layers (bench_cuda, one H200): the choice is 2 % slower than the best on
// average, 15 % at worst.
double estimate(const StepArgs& args, const Gpu& gpu, int config, bool linear) {
  constexpr double kLaunch = 2930, kTile = 630, kSum = 0.24, kStage = 47, kIncoming = 64, kL2 = 36;
  constexpr double kClusterM = 2200, kClusterN = 860, kSplit = 1320, kSplitDoubling = 470;
  const Convolution c(args, linear);
  const Tile tile = tile_of(config);
  const Mode mode = mode_of(config);
  const WgmmaTask t = task_of(c, tile, mode);
  const int cluster = mode.cluster_m * mode.cluster_n * mode.splits, together = blocks_per_multiprocessor(tile);
  const double clusters = static_cast<double>(t.tiles_m) * t.tiles_n;
  const double waves = std::ceil(clusters / clusters_at_once(gpu, tile, cluster));
  const double blocks = clusters * cluster / gpu.multiprocessors;  // of one multiprocessor
  const double sharing = std::clamp(blocks, 1.0, static_cast<double>(together));

  const double products = tile.m() * tile.n / 32.0;
  const double incoming = tile.stage_bytes() / kIncoming;
  const double l2 = 128.0 * (tile.m() / mode.cluster_n + tile.n / mode.cluster_m) / kL2 * std::min(1.0, blocks);
  const double stage = std::max({products, incoming, l2}) * sharing + kStage;
  const double stages = std::ceil(static_cast<double>(t.taps) * t.tap_blocks / mode.splits);
  const double finish = tile.m() * tile.n * kSum / mode.splits * sharing + kTile;
  const double meeting = mode.splits > 1      ? waves * (kSplit + kSplitDoubling * std::log2(mode.splits))
                         : mode.cluster_m > 1 ? kClusterM
                         : mode.cluster_n > 1 ? kClusterN
                                              : 0;
  return kLaunch + meeting + waves * (stages * stage + finish);
}

bool allows(const StepArgs& args, const Gpu& gpu, int config, bool linear) {
  const Convolution c(args, linear);
  const Tile tile = tile_of(config);
  const Mode mode = mode_of(config);
  if (gpu.shared_per_block < static_cast<std::size_t>(kShared)) return false;
  const std::int64_t stages = c.taps * ceil_div(c.depth, 128);
  if (mode.splits > stages) return false;
  if (mode.splits > 1 && tile.m() * tile.n * 4 > stages_of(tile) * tile.stage_bytes()) return false;
  return true;
}

int configure(const StepArgs& args, const Gpu& gpu, bool linear) {
  int best = -1;
  double least = 0;
  for (int config = 0; config < kTiles * kModes; ++config) {
    if (!allows(args, gpu, config, linear)) continue;
    const double cycles = estimate(args, gpu, config, linear);
    if (best < 0 || cycles < least) best = config, least = cycles;
  }
  return best;
}

const char* describe(int config) {
  static const auto texts = [] {
    std::array<std::array<char, 48>, kTiles * kModes> all{};
    for (int i = 0; i < kTiles * kModes; ++i) {
      const Tile t = tile_of(i);
      const Mode m = mode_of(i);
      auto& text = all[static_cast<std::size_t>(i)];
      int used = std::snprintf(text.data(), text.size(), "%dx%dx128, %d stages", t.m(), t.n, stages_of(t));
      if (m.splits > 1) used += std::snprintf(text.data() + used, text.size() - used, ", split-K %d", m.splits);
      if (m.cluster_m * m.cluster_n > 1) {
        std::snprintf(text.data() + used, text.size() - used, ", cluster %dx%d", m.cluster_m, m.cluster_n);
      }
    }
    return all;
  }();
  return texts[static_cast<std::size_t>(config)].data();
}

std::size_t packed_bytes(const StepArgs& args, bool linear) {
  const Convolution c(args, linear);
  return static_cast<std::size_t>(round_up(c.out.c, 64) * c.taps * round_up(c.depth, 16));
}

// [channel, in the order of epilogue.cuh][tap][depth, 16 by 16], zeros where there is none.
void pack(const StepArgs& args, const void* weights, void* packed, bool linear) {
  const Convolution c(args, linear);
  pack_columns(c, linear, 64, round_up(c.depth, 16), c.taps * round_up(c.depth, 16), weights, packed);
}

}  // namespace octet::kernels::cuda::wgmma_host
