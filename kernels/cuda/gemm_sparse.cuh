// Sparse convolution with the matrix instructions of a warp (sm_75 on). Layer 4 of 4: as gemm_mma.cuh, but for the
// reader of A, which gathers.
//
// A block makes kM output rows (sites) x kN channels. It first fetches its part of the kernel map, 32 taps at a time,
// and leaves out every tap that no row of the block has a neighbour through: LiDAR sites lie on surfaces, and whole
// blocks have nothing above or below. What remains is K, without gaps, in steps of 64 bytes through three stages of
// shared memory: [tap that is used][depth rounded to 16]. A 16-byte unit of A is 16 channels of one neighbour, fetched
// by its row; zeros (the zero point) where there is no neighbour.
//
//     rows of sites ->  map of the block        taps that are used     A: 64 bytes of K are 4 taps of 16 channels
//     tap 0   . . . .   (none: left out)
//     tap 1   . a . c   ------------------>     1 3                    row 0:  0  a  .  .
//     tap 2   . . . .                                                  row 1:  a  b  .  .
//     tap 3   a b c d                                                  row 2:  0  c  .  .
//
// An absent neighbour adds nothing. Where the zero point is not 0 it is read as the zero point, no tap is left out, and
// the zero point's share in the sum is subtracted for all taps, by the weights' sums: the same integer.
//
// The wide first layer (s16, kWide) has no planes of its own in memory: the two bytes of q = 256 * high + low lie side
// by side, so A is read twice from the same registers, as u8 against weights at the even bytes (low), and as s8 against
// the same weights moved up one byte (high). Sums over high are counted 256 times; mod 2^32 as everything (rule 5).
#pragma once

#include "kernels/cuda/gemm_mma.cuh"

namespace octet::kernels::cuda {

enum class SparseInput { s8, u8, wide };

struct SparseTask {
  const std::byte* in = nullptr;
  const std::byte* weights = nullptr;                        // [tap][column][tap_bytes]
  const std::int32_t* weight_sums = nullptr;                 // [channel], over all taps
  const std::int32_t* map = nullptr;                         // [tap][map_stride]
  const std::int32_t* rows = nullptr;                        // null: `capacity`
  std::int64_t in_pitch = 0, map_stride = 0, out_pitch = 0;  // bytes, entries, elements
  int capacity = 0;                                          // rows there is room for
  int taps = 1, tap_bytes = 16, columns = 0, tiles_n = 1;
  int zero = 0;
  std::uint32_t fill = 0;  // four times the zero point
  Finish finish;
};

constexpr int kTapsOfChunk = 32;  // one bit each of a warp's ballot

template <int kM, int kN, int kWarpM, int kWarpN>
struct SparseShared {
  using Tile = MmaTile<kM, kN, kWarpM, kWarpN>;
  __align__(128) std::uint8_t stages[kMmaStages * Tile::kStageBytes];
  std::int32_t map[kTapsOfChunk][kM];
  bool used[kTapsOfChunk];
  std::uint8_t list[kTapsOfChunk];  // the taps of the chunk that are used
};

// Fetches the map of `taps` taps from `chunk` on for the block's rows, and lists those that are used; returns how many.
template <int kM, class Shared>
__device__ __forceinline__ int fetch_map(const SparseTask& t, Shared& shared, int chunk, int taps, int first,
                                         int rows) {
  constexpr int kWarps = Shared::Tile::kWarps, kTapsOfWarp = kTapsOfChunk / kWarps, kParts = kM / 32;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  std::int32_t found[kTapsOfWarp][kParts];
#pragma unroll
  for (int i = 0; i < kTapsOfWarp; ++i) {  // all loads first: they take as long as one
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const int tap = warp + i * kWarps, row = first + 32 * part + lane;
      found[i][part] = tap < taps && row < rows ? __ldg(t.map + (chunk + tap) * t.map_stride + row) : -1;
    }
  }
#pragma unroll
  for (int i = 0; i < kTapsOfWarp; ++i) {
    bool any = t.zero != 0;
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      shared.map[warp + i * kWarps][32 * part + lane] = found[i][part];
      any = any || found[i][part] >= 0;
    }
    any = __any_sync(0xFFFFFFFF, any);
    if (lane == 0) shared.used[warp + i * kWarps] = any;
  }
  __syncthreads();
  const bool used = lane < taps && shared.used[lane];
  const unsigned all = __ballot_sync(0xFFFFFFFF, used);
  if (warp == 0 && used) shared.list[__popc(all & ((1u << lane) - 1))] = static_cast<std::uint8_t>(lane);
  __syncthreads();
  return __popc(all);
}

// What one thread copies: always the same unit of a stage's rows, at (tap, channel) of the chunk's K.
template <int kM, int kN, class Shared>
struct SparseCopy {
  using Tile = typename Shared::Tile;
  int at, c;  // place in the list of taps, byte of its channels
  __device__ SparseCopy(const SparseTask& t) : at(0), c(0) { advance(t, threadIdx.x % 4 * 16); }
  __device__ void advance(const SparseTask& t, int bytes) {
    c += bytes;
    while (c >= t.tap_bytes) c -= t.tap_bytes, ++at;
  }
  // The next 64 bytes of K; `count`: taps in the list.
  __device__ void next(const SparseTask& t, const Shared& shared, std::uint32_t stage, int chunk, int count,
                       int column) {
    const int unit = threadIdx.x % 4;
    const bool weighted = at < count;
    const int tap = shared.list[weighted ? at : 0];
#pragma unroll
    for (int i = 0; i < Tile::kRowsPerThread; ++i) {
      const int row = static_cast<int>(threadIdx.x) / 4 + i * (Tile::kThreads / 4);
      const std::uint32_t to = unit_address(stage, row, unit);
      const int from = shared.map[tap][row];
      const bool there = weighted && from >= 0;
      if (!there && weighted && t.fill != 0) {
        ptx::fill_shared<16>(to, t.fill);
      } else {
        ptx::copy_async<16>(to, t.in + (there ? from : 0) * t.in_pitch + c, there);
      }
    }
    const std::byte* weights = t.weights + static_cast<std::int64_t>(chunk + tap) * t.columns * t.tap_bytes + c;
#pragma unroll
    for (int i = 0; i < (kN * 4 + Tile::kThreads - 1) / Tile::kThreads; ++i) {
      const int row = static_cast<int>(threadIdx.x) / 4 + i * (Tile::kThreads / 4);
      if (row >= kN) break;
      const bool inside = weighted && column + row < t.columns;
      ptx::copy_async<16>(unit_address(stage + kM * kBlockBytes, row, unit),
                          weights + (inside ? column + row : 0) * t.tap_bytes, inside);
    }
    advance(t, kBlockBytes);
  }
};

// multiply_stage() for the two bytes of s16: `high` counts 256 times.
template <int kWarpM, int kWarpN>
__device__ __forceinline__ void multiply_wide(int (&low)[kWarpM / 16][kWarpN / 8][4],
                                              int (&high)[kWarpM / 16][kWarpN / 8][4], std::uint32_t a_tile,
                                              std::uint32_t b_tile, int warp_row, int warp_column) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
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
        multiply_16x8x32<true>(low[i][2 * j], a[i], b[0], b[1]);
        multiply_16x8x32<true>(low[i][2 * j + 1], a[i], b[2], b[3]);
        multiply_16x8x32<false>(high[i][2 * j], a[i], b[0] << 8, b[1] << 8);
        multiply_16x8x32<false>(high[i][2 * j + 1], a[i], b[2] << 8, b[3] << 8);
      }
    }
  }
}

template <int kN, int kWarpM, int kWarpN>
__device__ __forceinline__ void finish_rows(const SparseTask& t, const int (&sums)[kWarpM / 16][kWarpN / 8][4],
                                            std::uint32_t constants, int row, int rows, int column, int warp_column) {
  constexpr int kCount = kWarpN / 4;  // neighbouring channels of one thread: see epilogue.cuh
  const int lane = threadIdx.x % 32, channel = column + warp_column + kCount * (lane % 4);
  const Channels<kCount> c(constants, kN, warp_column, lane % 4);
#pragma unroll
  for (int i = 0; i < kWarpM / 16; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int at = row + 16 * i + 8 * half + lane / 4;
      if (at >= rows) continue;
      int picked[kCount];
#pragma unroll
      for (int j = 0; j < kWarpN / 8; ++j) {
        picked[2 * j] = sums[i][j][2 * half], picked[2 * j + 1] = sums[i][j][2 * half + 1];
      }
      add(picked, c.bias);
      finish<kCount, true>(t.finish, picked, c.multiplier, channel, at * t.out_pitch);
    }
  }
}

template <int kM, int kN, int kWarpM, int kWarpN, SparseInput kInput>
__global__ void __launch_bounds__(MmaTile<kM, kN, kWarpM, kWarpN>::kThreads)
    gemm_sparse(const __grid_constant__ SparseTask t) {
  using Shared = SparseShared<kM, kN, kWarpM, kWarpN>;
  using Tile = typename Shared::Tile;
  constexpr bool kWide = kInput == SparseInput::wide;
  __shared__ Shared shared;
  const std::uint32_t stages = ptx::shared_address(shared.stages);
  const int tile_m = blockIdx.x / t.tiles_n, column = (blockIdx.x - tile_m * t.tiles_n) * kN, first = tile_m * kM;
  const int warp = threadIdx.x / 32;
  const int warp_row = warp % Tile::kWarpsM * kWarpM, warp_column = warp / Tile::kWarpsM * kWarpN;
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  const int rows = t.rows == nullptr ? t.capacity : min(*t.rows, t.capacity);
  if (first >= rows) return;

  int sums[kWarpM / 16][kWarpN / 8][4] = {};
  int high[kWide ? kWarpM / 16 : 1][kWide ? kWarpN / 8 : 1][4] = {};
  for (int chunk = 0; chunk < t.taps; chunk += kTapsOfChunk) {
    const int count = fetch_map<kM>(t, shared, chunk, min(kTapsOfChunk, t.taps - chunk), first, rows);
    const int blocks = (count * t.tap_bytes + kBlockBytes - 1) / kBlockBytes;
    SparseCopy<kM, kN, Shared> copier(t);
    const auto copy = [&](int k) {
      if (k < blocks) {
        copier.next(t, shared, stages + k % kMmaStages * Tile::kStageBytes, chunk, count, column);
      }
      ptx::commit_copies();  // also when empty, so that waiting can count groups
    };
    for (int k = 0; k < kMmaStages - 1; ++k) copy(k);
    for (int k = 0; k < blocks; ++k) {
      ptx::wait_copies<kMmaStages - 2>();
      __syncthreads();  // block k is there, and nobody reads block k - 1 any more
      copy(k + kMmaStages - 1);
      const std::uint32_t stage = stages + k % kMmaStages * Tile::kStageBytes;
      if constexpr (kWide) {
        multiply_wide<kWarpM, kWarpN>(sums, high, stage, stage + kM * kBlockBytes, warp_row, warp_column);
      } else {
        multiply_stage<kInput == SparseInput::u8, kWarpM, kWarpN>(sums, stage, stage + kM * kBlockBytes, warp_row,
                                                                  warp_column);
      }
    }
    ptx::wait_copies<0>();
    __syncthreads();  // nobody reads the stages or the map any more
  }
  if constexpr (kWide) {
#pragma unroll
    for (int i = 0; i < kWarpM / 16; ++i) {
#pragma unroll
      for (int j = 0; j < kWarpN / 8; ++j) {
#pragma unroll
        for (int k = 0; k < 4; ++k) sums[i][j][k] += 256 * high[i][j][k];
      }
    }
  }
  for (int i = threadIdx.x; i < kN; i += Tile::kThreads) {
    ChannelConstant constant(t.finish, column + i);
    if (t.zero != 0 && column + i < t.finish.channels) constant.bias -= t.zero * __ldg(t.weight_sums + column + i);
    const int slot = constant_slot(i, kWarpN);
    ptx::store_shared(stages + 4 * slot, constant.bias);
    ptx::store_shared(stages + 4 * (kN + slot), __float_as_int(constant.multiplier));
  }
  __syncthreads();
  finish_rows<kN, kWarpM, kWarpN>(t, sums, stages, first + warp_row, rows, column, warp_column);
}

}  // namespace octet::kernels::cuda
