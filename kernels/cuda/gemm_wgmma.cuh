// The matrix product of a convolution on Hopper: copy engine (TMA) and warpgroup instructions. Layer 4 of 4.
//
// A block is one warpgroup that copies and one or two that multiply. Stages of 128 bytes of K go round in shared
// memory:
//
//     copying thread    waits empty[s], announces the bytes of a stage to full[s], starts the copies of A and B
//     multiplying       waits full[s], starts the products of the stage, waits for those of the stage before, and
//     warpgroups        hands that one back: empty[s - 1]
//
// A is the input: rows are output pixels in order, and for one filter tap and 128 channels the copy engine itself walks
// the pixels (im2col mode), past ends of rows and images, and writes 0 outside of the image. Nothing is ever unfolded
// in memory, and any stride and dilation is free. B holds the weights [channel][tap][depth].
//
// What bounds it is the way from L2 to shared memory (64 bytes a cycle and multiprocessor), not the products: a stage
// of a 128x256 tile is 48 KB for 1,024 cycles of multiplying. So neighbouring blocks form clusters: those of one column
// of the cluster need the same weights, those of one row the same pixels; each copies its share and the copy engine
// delivers it to all of them (multicast). An empty stage must then be reported to every block that writes into it.
//
// Where there are too few tiles for the device, the blocks of a cluster share one tile instead, each summing a part of
// K (split-K); the sums meet through distributed shared memory, each block adding up and finishing its share of them.
// Integer sums commute, so every split gives the same bytes.
#pragma once

#include <utility>

#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/wgmma.cuh"

namespace octet::kernels::cuda {

// How one launch works on the matrices.
struct WgmmaTask {
  int rows = 0;              // of A: output pixels
  int taps = 1, tap_blocks;  // stages of one tap: ceil(depth / 128)
  bool unfold = false;       // A is walked in im2col mode; otherwise its rows are plain
  Pixels in_pixels;          // unfold: number of the output pixel -> (n, y, x)
  int stride_h = 1, stride_w = 1, pad_top = 0, pad_left = 0, dilation_h = 1, dilation_w = 1, kernel_w = 1;
  int tiles_m = 0, tiles_n = 0;  // in units of a whole cluster
  int cluster_m = 1, cluster_n = 1, splits = 1, stages = 4;
  Finish finish;
};

// kGroups warpgroups multiply, each kBlocks x 64 rows by kN columns.
template <int kGroups, int kBlocks, int kN>
struct WgmmaTile {
  static constexpr int kM = kGroups * kBlocks * wgmma::kRows;
  static constexpr int kThreads = 128 * (kGroups + 1);
  // Blocks a multiprocessor: with few sums a thread there is room for two, and one finishes while the other multiplies.
  static constexpr int kTogether = kGroups == 1 || kBlocks * kN <= 64 ? 2 : 1;
  static constexpr int kStageBytes = (kM + kN) * wgmma::kRowBytes;
  static constexpr int kMaxStages = 8;
  static constexpr int kBarrierBytes = 2 * kMaxStages * 8;
  static constexpr int kConstantBytes = 2 * kGroups * kN * 8;                 // see finish_tile()
  static constexpr int kSharedFixed = 1024 + kBarrierBytes + kConstantBytes;  // 1024: to align the stages
};

// Where a work item lies. Items are numbered so that the blocks that run at the same time form a compact rectangle of
// tiles: its inputs then stay in L2. Columns of tiles in bands of 8, rows fastest... within a band.
__device__ __forceinline__ void place_tile(const WgmmaTask& t, int item, int& tile_m, int& tile_n) {
  constexpr int kBand = 8;
  const int band_items = kBand * t.tiles_n;
  const int band = item / band_items, within = item - band * band_items;
  const int height = min(kBand, t.tiles_m - band * kBand);
  tile_m = band * kBand + within % height;
  tile_n = within / height;
}

// A ring position: which stage, and the parity of its current round.
struct Ring {
  int stage = 0;
  std::uint32_t parity = 0;
  __device__ void advance(int stages) {
    if (++stage == stages) stage = 0, parity ^= 1;
  }
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <class Tile, int kN>
__device__ __forceinline__ void copy_stages(const CUtensorMap* map_a, const CUtensorMap* map_b, const WgmmaTask& t,
                                            std::uint32_t stages, std::uint32_t full, std::uint32_t empty, int rank_m,
                                            int rank_n, int rank_k) {
  const int rows_a = Tile::kM / t.cluster_n, rows_b = kN / t.cluster_m;  // this block's share of a stage
  std::uint16_t to_a = 0, to_b = 0;                                      // who receives it
  for (int i = 0; i < t.cluster_n; ++i) to_a |= 1 << (rank_m + i * t.cluster_m);
  for (int i = 0; i < t.cluster_m; ++i) to_b |= 1 << (i + rank_n * t.cluster_m);
  const int k_blocks = t.taps * t.tap_blocks;
  const int k_first = rank_k * k_blocks / t.splits, k_last = (rank_k + 1) * k_blocks / t.splits;
  const int cluster = t.cluster_m * t.cluster_n * t.splits;
  Ring ring;
  for (int item = blockIdx.x / cluster; item < t.tiles_m * t.tiles_n; item += gridDim.x / cluster) {
    int tile_m, tile_n;
    place_tile(t, item, tile_m, tile_n);
    const int row = (tile_m * t.cluster_m + rank_m) * Tile::kM + rank_n * rows_a;
    const int column = (tile_n * t.cluster_n + rank_n) * kN + rank_m * rows_b;
    int n = 0, y = 0, x = 0;
    if (t.unfold) {
      t.in_pixels.split(row, n, y, x);
      y = y * t.stride_h - t.pad_top, x = x * t.stride_w - t.pad_left;
    }
    int tap = k_first / t.tap_blocks, block = k_first - tap * t.tap_blocks;
    int dy = tap / t.kernel_w, dx = tap - dy * t.kernel_w;
    for (int k = k_first; k < k_last; ++k) {
      const std::uint32_t a = stages + ring.stage * Tile::kStageBytes + rank_n * rows_a * wgmma::kRowBytes;
      const std::uint32_t b = stages + ring.stage * Tile::kStageBytes + (Tile::kM + rank_m * rows_b) * wgmma::kRowBytes;
      const std::uint32_t barrier = full + 8 * ring.stage;
      ptx::barrier_wait(empty + 8 * ring.stage, ring.parity ^ 1);
      ptx::barrier_expect(barrier, Tile::kStageBytes);
      const int c = block * wgmma::kRowBytes;
      if (t.unfold) {
        if (t.cluster_n > 1) {
          ptx::copy_pixels(a, map_a, barrier, c, x, y, n, dx * t.dilation_w, dy * t.dilation_h, to_a);
        } else {
          ptx::copy_pixels(a, map_a, barrier, c, x, y, n, dx * t.dilation_w, dy * t.dilation_h);
        }
      } else if (t.cluster_n > 1) {
        ptx::copy_box_3d(a, map_a, barrier, c, row, 0, to_a);
      } else {
        ptx::copy_box_3d(a, map_a, barrier, c, row, 0);
      }
      if (t.cluster_m > 1) {
        ptx::copy_box_3d(b, map_b, barrier, c, tap, column, to_b);
      } else {
        ptx::copy_box_3d(b, map_b, barrier, c, tap, column);
      }
      ring.advance(t.stages);
      if (++block == t.tap_blocks) {
        block = 0, ++tap;
        if (++dx == t.kernel_w) dx = 0, ++dy;
      }
    }
  }
}

// The 16 sums of row half `half` in column group `group` of one 64-row block, as epilogue.cuh orders them.
template <int kSums>
__device__ __forceinline__ void pick(int (&to)[16], const int (&sums)[kSums], int group, int half) {
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    to[2 * j] = sums[4 * (8 * group + j) + 2 * half];
    to[2 * j + 1] = sums[4 * (8 * group + j) + 2 * half + 1];
  }
}

// Row within the tile of a thread's sums; `thread` counts those that multiply.
template <int kBlocks>
__device__ __forceinline__ int row_in_tile(int thread, int block, int half) {
  return ((thread / 128) * kBlocks + block) * wgmma::kRows + thread % 128 / 32 * 16 + thread % 32 / 4 + 8 * half;
}

// The columns of one thread (of 128) whose constants it looks after.
template <int kN>
struct TileConstants {
  static constexpr int kEach = (kN + 127) / 128;
  ChannelConstant of[kEach];
  __device__ TileConstants(const Finish& f, int column)
      : TileConstants(f, column + static_cast<int>(threadIdx.x % 128), std::make_integer_sequence<int, kEach>{}) {}
  __device__ void store(std::uint32_t shared) const {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int column = static_cast<int>(threadIdx.x % 128) + 128 * i;
      if (column >= kN) continue;
      const int slot = constant_slot(column, 64);
      ptx::store_shared(shared + 4 * slot, of[i].bias);
      ptx::store_shared(shared + 4 * (kN + slot), __float_as_int(of[i].multiplier));
    }
  }

 private:
  template <int... I>
  __device__ TileConstants(const Finish& f, int column, std::integer_sequence<int, I...>)
      : of{ChannelConstant(f, column + 128 * I)...} {}
};

template <int kBlocks, int kN>
__device__ __forceinline__ void finish_tile(const WgmmaTask& t, int (&sums)[kBlocks][kN / 2], std::uint32_t constants,
                                            int row, int column, int thread) {
  // Nearly always: bytes, whole vectors, all columns there. Nothing is left to decide per vector then.
  const bool plain =
      t.finish.e.form == Epilogue::Form::one_multiply && t.finish.vectors && column + kN <= t.finish.channels;
  const Requantise requantise(t.finish.e);
  const int in_quad = 16 * (thread % 4);
#pragma unroll
  for (int block = 0; block < kBlocks; ++block) {
    int pixel[2];
    std::int64_t at[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      pixel[half] = row + row_in_tile<kBlocks>(thread, block, half);
      at[half] = t.finish.pixels.offset(pixel[half]);
    }
#pragma unroll
    for (int group = 0; group < kN / 64; ++group) {
      const Channels<16> c(constants, kN, 64 * group, thread % 4);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        int picked[16];
        pick(picked, sums[block], group, half);
        add(picked, c.bias);
        if (plain) {
          std::uint32_t bytes[4];
          requantise(bytes, picked, c.multiplier);
          if (pixel[half] < t.rows) {
            *reinterpret_cast<uint4*>(t.finish.out + at[half] + column + in_quad + 64 * group) =
                make_uint4(bytes[0], bytes[1], bytes[2], bytes[3]);
          }
        } else if (pixel[half] < t.rows) {
          finish(t.finish, picked, c.multiplier, column + 64 * group + in_quad, at[half]);
        }
      }
    }
  }
}

// Split-K: every block of the cluster leaves its sums in its shared memory, [16 sums of one thread][thread], where
// finish_share() of all blocks finds them.
template <int kThreads, int kBlocks, int kN>
__device__ __forceinline__ void leave_sums(std::uint32_t shared, int (&sums)[kBlocks][kN / 2], int thread) {
#pragma unroll
  for (int chunk = 0; chunk < kBlocks * 2 * (kN / 64); ++chunk) {
    int picked[16];
    pick(picked, sums[chunk / (2 * (kN / 64))], chunk / 2 % (kN / 64), chunk % 2);
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      asm volatile(
          "st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(shared + ((chunk * 4 + q) * kThreads + thread) * 16),
          "r"(picked[4 * q]), "r"(picked[4 * q + 1]), "r"(picked[4 * q + 2]), "r"(picked[4 * q + 3])
          : "memory");
    }
  }
}

template <int kThreads, int kBlocks, int kN>
__device__ __forceinline__ void finish_share(const WgmmaTask& t, std::uint32_t shared, std::uint32_t constants, int row,
                                             int column, int rank, int thread) {
  constexpr int kUnits = kThreads * kBlocks * 2 * (kN / 64);
  for (int unit = rank * kUnits / t.splits + thread; unit < (rank + 1) * kUnits / t.splits; unit += kThreads) {
    const int chunk = unit / kThreads, owner = unit % kThreads;
    int total[16] = {};
    for (int i = 0; i < t.splits; ++i) {
      const std::uint32_t from = ptx::in_block(shared, (rank + i) % t.splits);
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        const int4 v = ptx::load_cluster(from + ((chunk * 4 + q) * kThreads + owner) * 16);
        total[4 * q] += v.x, total[4 * q + 1] += v.y, total[4 * q + 2] += v.z, total[4 * q + 3] += v.w;
      }
    }
    const int block = chunk / (2 * (kN / 64)), group = chunk / 2 % (kN / 64), half = chunk % 2;
    const int pixel = row + row_in_tile<kBlocks>(owner, block, half);
    if (pixel >= t.rows) continue;
    const int in_tile = 64 * group + 16 * (owner % 4);
    const Channels<16> c(constants, kN, 64 * group, owner % 4);
    add(total, c.bias);
    finish(t.finish, total, c.multiplier, column + in_tile, t.finish.pixels.offset(pixel));
  }
}

// Hands stages back to every block that copies into them: those of this block's own row and column of the cluster. One
// thread reports to each.
struct Release {
  bool active = false;
  std::uint32_t barriers = 0;
  __device__ Release(const WgmmaTask& t, std::uint32_t empty, int rank_m, int rank_n) {
    const int peer = threadIdx.x % 128;
    active = peer < t.cluster_m * t.cluster_n && (peer % t.cluster_m == rank_m || peer / t.cluster_m == rank_n);
    barriers = ptx::in_block(empty, t.splits > 1 ? ptx::cluster_rank() : peer);
  }
  __device__ void stage(int stage) const {
    if (active) ptx::barrier_arrive_cluster(barriers + 8 * stage);
  }
};

template <class Tile, bool kUnsigned, int kGroups, int kBlocks, int kN>
__device__ __forceinline__ void multiply_tile(const WgmmaTask& t, int (&sums)[kBlocks][kN / 2], std::uint32_t stages,
                                              std::uint32_t full, const Release& release, Ring& ring, int count,
                                              int group) {
  int previous = -1;
  bool accumulate = false;
  for (int k = 0; k < count; ++k) {
    ptx::barrier_wait(full + 8 * ring.stage, ring.parity);
    const std::uint32_t stage = stages + ring.stage * Tile::kStageBytes;
    std::uint64_t a = wgmma::descriptor(stage + group * kBlocks * wgmma::kRows * wgmma::kRowBytes);
    std::uint64_t b = wgmma::descriptor(stage + Tile::kM * wgmma::kRowBytes);
    wgmma::begin();
#pragma unroll
    for (int step = 0; step < wgmma::kRowBytes / wgmma::kStepBytes; ++step) {
#pragma unroll
      for (int block = 0; block < kBlocks; ++block) {
        constexpr std::uint64_t kBlockStep = wgmma::kRows * wgmma::kRowBytes / 16;
        wgmma::multiply<kUnsigned>(sums[block], a + block * kBlockStep, b, accumulate);
      }
      a += wgmma::kDescriptorStep, b += wgmma::kDescriptorStep;
      accumulate = true;
    }
    wgmma::commit();
    wgmma::wait<1>();
    if (previous >= 0) release.stage(previous);
    previous = ring.stage;
    ring.advance(t.stages);
  }
  wgmma::wait<0>();
  if (previous >= 0) release.stage(previous);
#pragma unroll
  for (int block = 0; block < kBlocks; ++block) wgmma::pin(sums[block]);
}

#endif  // sm_90a

template <int kGroups, int kBlocks, int kN, bool kUnsigned>
__global__ void __launch_bounds__(128 * (kGroups + 1), WgmmaTile<kGroups, kBlocks, kN>::kTogether)
    gemm_wgmma(const __grid_constant__ CUtensorMap map_a, const __grid_constant__ CUtensorMap map_b,
               const __grid_constant__ WgmmaTask t) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using Tile = WgmmaTile<kGroups, kBlocks, kN>;
  extern __shared__ std::uint8_t dynamic[];
  const std::uint32_t stages = (ptx::shared_address(dynamic) + 1023) & ~1023u;
  const std::uint32_t full = stages + t.stages * Tile::kStageBytes, empty = full + 8 * Tile::kMaxStages;
  const int cluster = t.cluster_m * t.cluster_n * t.splits;
  const int rank = cluster == 1 ? 0 : ptx::cluster_rank();
  const int rank_m = rank % t.cluster_m, rank_n = t.splits > 1 ? 0 : rank / t.cluster_m;
  const int rank_k = t.splits > 1 ? rank : 0;

  if (threadIdx.x == 0) {
    ptx::prefetch_map(&map_a);
    ptx::prefetch_map(&map_b);
    for (int i = 0; i < t.stages; ++i) {
      ptx::barrier_init(full + 8 * i, 1);
      ptx::barrier_init(empty + 8 * i, kGroups * (t.cluster_m + t.cluster_n - 1));
    }
    ptx::barrier_init_fence();
  }
  __syncthreads();
  if (cluster > 1) ptx::cluster_meet();  // a neighbour's copies may reach this block from here on
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();

  const int k_blocks = t.taps * t.tap_blocks;
  const int k_first = rank_k * k_blocks / t.splits, k_last = (rank_k + 1) * k_blocks / t.splits;
  const int warpgroup = threadIdx.x / 128;
  if (warpgroup == 0) {
    // Three warpgroups are given 168 (80) registers a thread, and 56 + 2 * 224 (40 + 2 * 96) is what that makes for
    // them. (More would wait for ever.)
    if constexpr (kGroups == 2) ptx::fewer_registers<Tile::kTogether == 1 ? 56 : 40>();
    if (threadIdx.x == 0) copy_stages<Tile, kN>(&map_a, &map_b, t, stages, full, empty, rank_m, rank_n, rank_k);
    __syncwarp();
    if (t.splits > 1) ptx::cluster_sync();
  } else {
    if constexpr (kGroups == 2) ptx::more_registers<Tile::kTogether == 1 ? 224 : 96>();
    constexpr int kMultiplying = 128 * kGroups;
    const int thread = threadIdx.x - 128;
    const Release release(t, empty, rank_m, rank_n);
    Ring ring;
    int sums[kBlocks][kN / 2];
    // Constants twice for each warpgroup: the next tile's are stored while a slow warp still reads this one's.
    std::uint32_t constants = empty + 8 * Tile::kMaxStages + (warpgroup - 1) * 2 * kN * 8, other = constants + kN * 8;
    for (int item = blockIdx.x / cluster; item < t.tiles_m * t.tiles_n; item += gridDim.x / cluster) {
      int tile_m, tile_n;
      place_tile(t, item, tile_m, tile_n);
      const int row = (tile_m * t.cluster_m + rank_m) * Tile::kM, column = (tile_n * t.cluster_n + rank_n) * kN;
      const TileConstants<kN> loaded(t.finish, column);
      multiply_tile<Tile, kUnsigned, kGroups, kBlocks, kN>(t, sums, stages, full, release, ring, k_last - k_first,
                                                           warpgroup - 1);
      loaded.store(constants);
      ptx::meet(warpgroup, 128);
      if (t.splits == 1) {
        finish_tile<kBlocks, kN>(t, sums, constants, row, column, thread);
      } else {  // one item a block: nothing is copied into the stages any more
        ptx::meet(3, kMultiplying);
        leave_sums<kMultiplying, kBlocks, kN>(stages, sums, thread);
        ptx::cluster_sync();
        finish_share<kMultiplying, kBlocks, kN>(t, stages, constants, row, column, rank_k, thread);
      }
      const std::uint32_t swap = constants;
      constants = other, other = swap;
    }
  }
  if (cluster > 1) {  // no block leaves while another may still reach into its shared memory
    __syncwarp();
    ptx::cluster_meet();
  }
#endif
}

}  // namespace octet::kernels::cuda
