// What the kernels that make sites share (sites_bitmap, voxelise_bitmap): the index of a level, listing its keys in
// ascending order, and from a key to its cell. Keys of CUDA programs are below 2^31 (runtime/cuda/sites.h).
#pragma once

#include "kernels/cuda/element.cuh"
#include "kernels/cuda/epilogue.cuh"
#include "runtime/cuda/sites.h"

namespace octet::kernels::cuda {

using octet::cuda::kWordsOfBlock;
using octet::cuda::SitesLevel;
using octet::cuda::SitesWindow;

// From a key to its cell.
struct Cells {
  Divisor x, yx, zyx;
  Cells() = default;
  explicit Cells(const SitesLevel& level)
      : x(static_cast<std::uint32_t>(level.size[2])),
        yx(static_cast<std::uint32_t>(level.size[2]) * level.size[1]),
        zyx(static_cast<std::uint32_t>(level.size[2]) * level.size[1] * level.size[0]) {}
  __device__ void split(std::uint32_t key, int& batch, int& z, int& y, int& x_) const {
    batch = static_cast<int>(zyx.quotient(key)), key -= batch * zyx.d;
    z = static_cast<int>(yx.quotient(key)), key -= z * yx.d;
    y = static_cast<int>(x.quotient(key)), x_ = static_cast<int>(key - y * x.d);
  }
};

__device__ static inline void set_bit(std::uint64_t* bits, std::uint32_t key) {
  atomicOr(reinterpret_cast<std::uint32_t*>(bits) + (key >> 5), 1u << (key & 31));
}

// Rows of cells, the last word that was looked at in registers.
class Lookup {
 public:
  __device__ Lookup(const std::uint64_t* bits, const std::int32_t* rank) : bits_(bits), rank_(rank) {}
  __device__ std::int32_t row(std::uint32_t key) {
    if (key >> 6 != at_) {
      at_ = key >> 6;
      word_ = bits_[at_];
      if (word_ != 0) first_ = rank_[at_];
    }
    const std::uint64_t bit = std::uint64_t{1} << (key & 63);
    return (word_ & bit) == 0 ? -1 : first_ + __popcll(word_ & (bit - 1));
  }

 private:
  const std::uint64_t* bits_;
  const std::int32_t* rank_;
  std::uint32_t at_ = 0xFFFFFFFF;
  std::uint64_t word_ = 0;
  std::int32_t first_ = 0;
};

// The sum of `value` over the block's threads before this one; `total` becomes that over all of them.
__device__ static inline int sum_before(int value, int& total) {
  __shared__ int of_warp[kThreads / 32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int inclusive = value;
  for (int step = 1; step < 32; step *= 2) {
    const int other = __shfl_up_sync(0xFFFFFFFF, inclusive, step);
    if (lane >= step) inclusive += other;
  }
  if (lane == 31) of_warp[warp] = inclusive;
  __syncthreads();
  int before = 0;
  total = 0;
  for (int i = 0; i < kThreads / 32; ++i) {
    before += i < warp ? of_warp[i] : 0;
    total += of_warp[i];
  }
  __syncthreads();  // the next call may write
  return before + inclusive - value;
}

constexpr int kWordsOfThread = kWordsOfBlock / kThreads;
static_assert(kWordsOfBlock % kThreads == 0);

// Each block of kWordsOfBlock words counts its sites.
__global__ static void __launch_bounds__(kThreads) count_sites(SitesLevel level) {
  begin();
  const int first = blockIdx.x * kWordsOfBlock;
  int count = 0, total;
#pragma unroll
  for (int i = 0; i < kWordsOfThread; ++i) {
    const int word = first + i * kThreads + static_cast<int>(threadIdx.x);
    if (word < level.words) count += __popcll(level.bits[word]);
  }
  (void)sum_before(count, total);
  if (threadIdx.x == 0) level.block_rows[blockIdx.x] = total;
}

// Each block adds up the counts of those before it, ranks its words and writes the keys of its sites.
__global__ static void __launch_bounds__(kThreads) rank_sites(SitesLevel level) {
  begin();
  int before = 0, rows_before;
  for (int i = threadIdx.x; i < static_cast<int>(blockIdx.x); i += kThreads) before += level.block_rows[i];
  (void)sum_before(before, rows_before);

  const int first = blockIdx.x * kWordsOfBlock + static_cast<int>(threadIdx.x) * kWordsOfThread;
  std::uint64_t words[kWordsOfThread];
  int count = 0, total;
#pragma unroll
  for (int i = 0; i < kWordsOfThread; ++i) {
    words[i] = first + i < level.words ? level.bits[first + i] : 0;
    count += __popcll(words[i]);
  }
  int row = rows_before + sum_before(count, total);
#pragma unroll
  for (int i = 0; i < kWordsOfThread; ++i) {
    if (words[i] == 0) continue;
    level.rank[first + i] = row;
    for (std::uint64_t left = words[i]; left != 0; left &= left - 1, ++row) {
      if (row < level.capacity)
        level.keys[row] = std::int64_t{first + i} * 64 + __ffsll(static_cast<long long>(left)) - 1;
    }
  }
  if (blockIdx.x == gridDim.x - 1 && threadIdx.x == 0) *level.rows = rows_before + total;
}

// Enough threads for every multiprocessor, for kernels that take their numbers of rows from the device's memory.
static inline dim3 persistent_blocks(const Launch& launch) {
  return dim3(static_cast<unsigned>(launch.gpu->multiprocessors * 8));
}

// From a level's bits to its rank, keys and number of sites.
static inline int list_sites(const SitesLevel& level, const Launch& launch) {
  const dim3 blocks(static_cast<unsigned>((level.words + kWordsOfBlock - 1) / kWordsOfBlock));
  const int error = start(count_sites, blocks, kThreads, launch, level);
  return error == cudaSuccess ? start(rank_sites, blocks, kThreads, launch, level) : error;
}

}  // namespace octet::kernels::cuda
