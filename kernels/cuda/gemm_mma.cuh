// The matrix product of a convolution with the matrix instructions of a warp (sm_75 on). Layer 4 of 4.
//
// A block makes kM pixels x kN channels, in steps of 64 bytes of K that go through three stages of shared memory. The
// input is never unfolded in memory: the threads that copy find each 16-byte unit of a row's K, (tap, 16 channels), in
// the image by themselves, and put the zero point where the window hangs over the edge. K runs over the taps without
// gaps, [tap][depth rounded to 16], and its end is rounded to 64 with weights of 0. Inputs of up to 4 channels (first
// layers) have units of 4 bytes, one pixel each.
//
// In shared memory a row of a stage is 64 bytes; its unit u lies at u ^ (row / 2 % 4), so that the 8 rows that one
// matrix load touches lie in different banks.
//
// A fused 2x2 max-pool orders the rows of each 32 so that one thread's four sums of a column are one window:
//
//     row 8p + g of 32   is position p (0 = top left .. 3 = bottom right) of window g
//
// and the pool is three max before requantising: rule 8, m > 0.
#pragma once

#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/ptx.cuh"

namespace octet::kernels::cuda {

struct MmaTask {
  const std::byte* in = nullptr;
  const std::byte* weights = nullptr;  // [channel][k_blocks * 64]
  std::int64_t stride_n = 0;
  int stride_h = 0, stride_w = 0;  // bytes
  int h = 0, w = 0;
  int kernel_h = 1, kernel_w = 1, step_h = 1, step_w = 1, pad_top = 0, pad_left = 0, dilation_h = 1, dilation_w = 1;
  Divisor kernel_columns;
  int tap_bytes = 16, k_blocks = 0;
  int rows = 0, columns = 0, tiles_n = 0;  // rows: pixels to be stored; columns: rows of `weights`
  bool pool = false;
  std::uint32_t fill = 0;  // four times the zero point
  Finish finish;           // finish.pixels also numbers the pixels
};

constexpr int kBlockBytes = 64, kMmaStages = 3;

__device__ __forceinline__ std::uint32_t unit_address(std::uint32_t tile, int row, int unit) {
  return tile + row * kBlockBytes + ((unit ^ (row / 2 % 4)) * 16);
}

template <int kM, int kN, int kWarpM, int kWarpN>
struct MmaTile {
  static constexpr int kWarpsM = kM / kWarpM, kWarps = kWarpsM * (kN / kWarpN), kThreads = 32 * kWarps;
  static constexpr int kStageBytes = (kM + kN) * kBlockBytes;
  static constexpr int kRowsPerThread = kM * 4 / kThreads;  // of A, one 16-byte unit of each
  static_assert(kM * 4 % kThreads == 0 && kMmaStages * kStageBytes <= 48 * 1024);
};

// The input pixels that one thread copies: row `first + i * stride` of the tile for each i.
template <class Tile, int kUnit>
struct InputRows {
  static constexpr int kRows = Tile::kRowsPerThread, kStride = Tile::kThreads / 4;
  const std::byte* corner[kRows];  // of the window; may lie outside of the image
  int y[kRows], x[kRows];
  int dy = 0, dx = 0, c = 0;  // tap and channel of this thread's unit (kUnit == 16)

  __device__ InputRows(const MmaTask& t, int tile_m, int tile_rows) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const int r = static_cast<int>(threadIdx.x) / 4 + i * kStride;
      const int pixel = t.pool ? (tile_m * tile_rows + r) / 32 * 8 + r % 8 : tile_m * tile_rows + r;
      int n, oy, ox;
      t.finish.pixels.split(min(pixel, t.rows - 1), n, oy, ox);
      if (t.pool) oy = 2 * oy + r % 32 / 16, ox = 2 * ox + r % 16 / 8;
      y[i] = oy * t.step_h - t.pad_top, x[i] = ox * t.step_w - t.pad_left;
      corner[i] = t.in + n * t.stride_n + static_cast<std::int64_t>(y[i]) * t.stride_h +
                  static_cast<std::int64_t>(x[i]) * t.stride_w;
    }
    if constexpr (kUnit == 16) advance(t, threadIdx.x % 4 * 16);
  }

  __device__ void advance(const MmaTask& t, int bytes) {
    c += bytes;
    while (c >= t.tap_bytes) {
      c -= t.tap_bytes;
      if (++dx == t.kernel_w) dx = 0, ++dy;
    }
  }

  __device__ void copy_unit(const MmaTask& t, std::uint32_t to, int i, int ky, int kx, int channel) const {
    const int py = ky * t.dilation_h, px = kx * t.dilation_w;
    const bool weighted = ky < t.kernel_h;  // past the last tap the weights are 0
    const bool inside = weighted && static_cast<unsigned>(y[i] + py) < static_cast<unsigned>(t.h) &&
                        static_cast<unsigned>(x[i] + px) < static_cast<unsigned>(t.w);
    if (!inside && weighted && t.fill != 0) {
      ptx::fill_shared<kUnit>(to, t.fill);
    } else {
      ptx::copy_async<kUnit>(to, corner[i] + py * t.stride_h + px * t.stride_w + channel, inside);
    }
  }

  // Block `k` of K; calls must go through k = 0, 1, 2, ...
  __device__ void copy(const MmaTask& t, std::uint32_t tile, int k) {
    const int unit = threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const std::uint32_t to = unit_address(tile, static_cast<int>(threadIdx.x) / 4 + i * kStride, unit);
      if constexpr (kUnit == 16) {
        copy_unit(t, to, i, dy, dx, c);
      } else {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int tap = (4 * k + unit) * 4 + j, row = t.kernel_columns.quotient(tap);
          copy_unit(t, to + 4 * j, i, row, tap - row * t.kernel_w, 0);
        }
      }
    }
    if constexpr (kUnit == 16) advance(t, kBlockBytes);
  }
};

template <class Tile, int kN>
__device__ __forceinline__ void copy_weights(const MmaTask& t, std::uint32_t tile, int column, int k) {
  for (int i = threadIdx.x; i < kN * 4; i += Tile::kThreads) {
    const int row = i / 4, unit = i % 4;
    const bool inside = column + row < t.columns;
    ptx::copy_async<16>(
        unit_address(tile, row, unit),
        t.weights + (static_cast<std::int64_t>(inside ? column + row : 0) * t.k_blocks + k) * kBlockBytes + unit * 16,
        inside);
  }
}

template <bool kUnsigned, int kWarpM, int kWarpN>
__device__ __forceinline__ void multiply_stage(int (&sums)[kWarpM / 16][kWarpN / 8][4], std::uint32_t a_tile,
                                               std::uint32_t b_tile, int warp_row, int warp_column) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {  // 32 bytes of K
    std::uint32_t a[kWarpM / 16][4];
#pragma unroll
    for (int i = 0; i < kWarpM / 16; ++i) {
      ptx::load_matrices(a[i], unit_address(a_tile, warp_row + 16 * i + lane % 16, 2 * half + lane / 16));
    }
#pragma unroll
    for (int j = 0; j < kWarpN / 16; ++j) {
      std::uint32_t b[4];
      ptx::load_matrices(
          b, unit_address(b_tile, warp_column + 16 * j + lane / 16 * 8 + lane % 8, 2 * half + lane / 8 % 2));
#pragma unroll
      for (int i = 0; i < kWarpM / 16; ++i) {
        multiply_16x8x32<kUnsigned>(sums[i][2 * j], a[i], b[0], b[1]);
        multiply_16x8x32<kUnsigned>(sums[i][2 * j + 1], a[i], b[2], b[3]);
      }
    }
  }
}

template <int kN, int kWarpM, int kWarpN>
__device__ __forceinline__ void finish_warp(const MmaTask& t, const int (&sums)[kWarpM / 16][kWarpN / 8][4],
                                            std::uint32_t constants, int row, int column, int warp_column) {
  constexpr int kCount = kWarpN / 4;  // neighbouring channels of one thread: see epilogue.cuh
  const int lane = threadIdx.x % 32, in_tile = warp_column + kCount * (lane % 4), channel = column + in_tile;
  const Channels<kCount> c(constants, kN, warp_column, lane % 4);
  const auto pick = [&](int(&to)[kCount], int i, int half) {
#pragma unroll
    for (int j = 0; j < kWarpN / 8; ++j) to[2 * j] = sums[i][j][2 * half], to[2 * j + 1] = sums[i][j][2 * half + 1];
    add(to, c.bias);
  };
#pragma unroll
  for (int i = 0; i < kWarpM / 16; ++i) {
    int picked[kCount];
    if (t.pool) {
      if (i % 2 == 1) continue;
      pick(picked, i, 0);
#pragma unroll
      for (int position = 1; position < 4; ++position) {
        int other[kCount];
        pick(other, i + position / 2, position % 2);
#pragma unroll
        for (int k = 0; k < kCount; ++k) picked[k] = max(picked[k], other[k]);
      }
      const int pixel = (row + 16 * i) / 4 + lane / 4;
      if (pixel < t.rows) finish<kCount, true>(t.finish, picked, c.multiplier, channel, t.finish.pixels.offset(pixel));
    } else {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int pixel = row + 16 * i + 8 * half + lane / 4;
        if (pixel >= t.rows) continue;
        pick(picked, i, half);
        finish<kCount, true>(t.finish, picked, c.multiplier, channel, t.finish.pixels.offset(pixel));
      }
    }
  }
}

template <int kM, int kN, int kWarpM, int kWarpN, int kUnit, bool kUnsigned>
__global__ void __launch_bounds__(MmaTile<kM, kN, kWarpM, kWarpN>::kThreads)
    gemm_mma(const __grid_constant__ MmaTask t) {
  using Tile = MmaTile<kM, kN, kWarpM, kWarpN>;
  // The constants lie over the stage that is free when the last block of K is multiplied.
  __shared__ __align__(128) std::uint8_t memory[kMmaStages * Tile::kStageBytes];
  const std::uint32_t stages = ptx::shared_address(memory);
  const std::uint32_t constants = stages + t.k_blocks % kMmaStages * Tile::kStageBytes;
  const int tile_m = blockIdx.x / t.tiles_n, column = (blockIdx.x - tile_m * t.tiles_n) * kN;
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();

  InputRows<Tile, kUnit> input(t, tile_m, kM);
  const auto copy = [&](int k) {
    if (k < t.k_blocks) {
      const std::uint32_t stage = stages + k % kMmaStages * Tile::kStageBytes;
      input.copy(t, stage, k);
      copy_weights<Tile, kN>(t, stage + kM * kBlockBytes, column, k);
    }
    ptx::commit_copies();  // also when empty, so that waiting can count groups
  };
  for (int k = 0; k < kMmaStages - 1; ++k) copy(k);

  int sums[kWarpM / 16][kWarpN / 8][4] = {};
  const int warp = threadIdx.x / 32;
  const int warp_row = warp % Tile::kWarpsM * kWarpM, warp_column = warp / Tile::kWarpsM * kWarpN;
  for (int k = 0; k < t.k_blocks; ++k) {
    ptx::wait_copies<kMmaStages - 2>();
    __syncthreads();  // block k is there, and nobody reads block k - 1 any more
    copy(k + kMmaStages - 1);
    const std::uint32_t stage = stages + k % kMmaStages * Tile::kStageBytes;
    multiply_stage<kUnsigned, kWarpM, kWarpN>(sums, stage, stage + kM * kBlockBytes, warp_row, warp_column);
  }
  for (int i = threadIdx.x; i < kN; i += Tile::kThreads) {
    const ChannelConstant constant(t.finish, column + i);
    const int slot = constant_slot(i, kWarpN);
    ptx::store_shared(constants + 4 * slot, constant.bias);
    ptx::store_shared(constants + 4 * (kN + slot), __float_as_int(constant.multiplier));
  }
  __syncthreads();
  finish_warp<kN, kWarpM, kWarpN>(t, sums, constants, tile_m * kM + warp_row, column, warp_column);
}

}  // namespace octet::kernels::cuda
