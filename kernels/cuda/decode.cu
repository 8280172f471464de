// Decoding and non-maximum suppression in four launches over all tasks at once (decode.h):
//
//     find       every cell: its best class; a candidate in range leaves its key (score, cell), in any order
//     rank       every candidate counts those that come before it, which is its place: keys differ, so the order is the
//                sorted one whatever the order they were found in; the best ones leave their boxes there
//     compare    every pair of boxes: one bit where the better one suppresses the other
//     suppress   one block a task goes through the boxes in order, 64 at a time, and keeps those that no kept one
//                suppresses
//
// Counting instead of sorting: a frame has some hundreds of candidates, for which it is one short loop; for the most
// that there can be (every cell) it is still milliseconds, and needs no capacity to overflow.
#include "kernels/cuda/decode.h"

#include <cuda_runtime.h>

#include "kernels/cuda/ptx.cuh"

namespace octet::kernels::cuda {
namespace {

constexpr int kBlock = 256;

struct Task {  // what is there once, for all tasks
  Decode decode;
  const float* maps;
  int cells, limit, words;  // words: of 64 bits, a row of `bits`
  std::uint64_t* keys;      // [task][cells]
  std::int32_t* labels;     // [task][cells], by cell
  BevBox* above;            // [task][limit]
  Box* boxes;               // [task][limit]
  std::uint64_t* bits;      // [task][limit][words]
  DecodeResult* results;    // [task]
  Box* kept;                // [task][most_boxes]
};

// Ascending keys are descending scores (positive floats are ordered as their bits), then ascending cells.
__device__ std::uint64_t key_of(float score, int cell) {
  return static_cast<std::uint64_t>(~__float_as_uint(score)) << 32 | static_cast<std::uint32_t>(cell);
}
__device__ float score_of(std::uint64_t key) { return __uint_as_float(~static_cast<std::uint32_t>(key >> 32)); }
__device__ int cell_of(std::uint64_t key) { return static_cast<int>(static_cast<std::uint32_t>(key)); }

__device__ int in_range_of(const DecodeResult& r) { return r.candidates - r.out_of_range; }
__device__ int sorted_of(const Task& t, int task) { return min(in_range_of(t.results[task]), t.limit); }

__global__ void __launch_bounds__(kBlock) find(const __grid_constant__ Task t) {
  const int task = static_cast<int>(blockIdx.y), cell = static_cast<int>(blockIdx.x) * kBlock + threadIdx.x;
  if (cell >= t.cells) return;
  const Peak peak = peak_at(t.maps, t.decode.maps[task], t.decode.decoding, cell);
  if (!(peak.score > 0)) return;
  DecodeResult& result = t.results[task];
  const Box box = box_at(t.maps, t.decode.maps[task], t.decode.decoding, cell, peak);
  atomicAdd(&result.candidates, 1);
  if (!in_range(box, t.decode.decoding)) {
    atomicAdd(&result.out_of_range, 1);
    return;
  }
  const std::int64_t first = std::int64_t{task} * t.cells;
  t.keys[first + atomicAdd(&result.survivors, 1)] = key_of(peak.score, cell);  // a counter until suppress() sets it
  t.labels[first + cell] = peak.label;
}

__global__ void __launch_bounds__(kBlock) rank(const __grid_constant__ Task t) {
  __shared__ std::uint64_t shared[kBlock];
  const int task = static_cast<int>(blockIdx.y), count = in_range_of(t.results[task]);
  const std::uint64_t* keys = t.keys + std::int64_t{task} * t.cells;
  for (int first = static_cast<int>(blockIdx.x) * kBlock; first < count; first += gridDim.x * kBlock) {
    const int mine = first + static_cast<int>(threadIdx.x);
    const std::uint64_t key = mine < count ? keys[mine] : 0;
    int before = 0;
    for (int from = 0; from < count; from += kBlock) {
      const int other = from + static_cast<int>(threadIdx.x);
      __syncthreads();
      shared[threadIdx.x] = other < count ? keys[other] : ~std::uint64_t{0};
      __syncthreads();
#pragma unroll 8
      for (int i = 0; i < kBlock; ++i) before += shared[i] < key;
    }
    if (mine >= count || before >= t.limit) continue;
    const Peak peak{score_of(key), t.labels[std::int64_t{task} * t.cells + cell_of(key)]};
    const Box box = box_at(t.maps, t.decode.maps[task], t.decode.decoding, cell_of(key), peak);
    t.boxes[std::int64_t{task} * t.limit + before] = box;
    t.above[std::int64_t{task} * t.limit + before] = from_above(box);
  }
}

__device__ bool suppresses(const Task& t, int task, std::int64_t better, std::int64_t other) {
  if (t.decode.decoding.rotated) {
    return overlap(t.above[better], t.above[other]) > static_cast<double>(t.decode.decoding.overlap);
  }
  return is_near(t.boxes[better], t.boxes[other], t.decode.squared_radius[task]);
}

// One warp makes 32 bits: row `better`, columns from a multiple of 32 on. Bits left of the diagonal are 0.
__global__ void __launch_bounds__(kBlock) compare(const __grid_constant__ Task t) {
  const int task = static_cast<int>(blockIdx.y), count = sorted_of(t, task), lane = threadIdx.x % 32;
  const std::int64_t first = std::int64_t{task} * t.limit;
  const int halves = 2 * ((count + 63) / 64);
  const std::int64_t warps = std::int64_t{gridDim.x} * (kBlock / 32);
  auto* bits = reinterpret_cast<std::uint32_t*>(t.bits + first * t.words);
  for (std::int64_t i = blockIdx.x * (kBlock / 32) + threadIdx.x / 32; i < std::int64_t{count} * halves; i += warps) {
    const int better = static_cast<int>(i / halves), half = static_cast<int>(i % halves), other = half * 32 + lane;
    const bool bit = other > better && other < count && suppresses(t, task, first + better, first + other);
    const std::uint32_t word = __ballot_sync(0xFFFFFFFFu, bit);
    if (lane == 0) bits[std::int64_t{better} * 2 * t.words + half] = word;
  }
}

// The boxes of `open` (bit i: box i of 64) that survive, each removing those that its row of `rows` names.
__device__ std::uint64_t survivors_of(std::uint64_t open, const std::uint64_t* rows) {
  std::uint64_t kept = 0;
  while (open != 0) {
    const int i = __ffsll(static_cast<long long>(open)) - 1;
    kept |= std::uint64_t{1} << i;
    open &= ~(rows[i] | std::uint64_t{1} << i);
  }
  return kept;
}

__global__ void __launch_bounds__(kBlock) suppress(const __grid_constant__ Task t) {
  auto* const removed = reinterpret_cast<std::uint64_t*>(ptx::dynamic_shared());  // [words]
  __shared__ std::uint64_t rows[64], kept_here;
  const int task = static_cast<int>(blockIdx.x), count = sorted_of(t, task), words = (count + 63) / 64;
  const std::int64_t first = std::int64_t{task} * t.limit;
  const int most = t.decode.decoding.most_boxes;
  for (int w = threadIdx.x; w < words; w += kBlock) removed[w] = 0;
  int kept = 0;
  for (int w = 0; w < words; ++w) {
    const int base = 64 * w, here = min(64, count - base);
    if (static_cast<int>(threadIdx.x) < here) rows[threadIdx.x] = t.bits[(first + base + threadIdx.x) * t.words + w];
    __syncthreads();
    if (threadIdx.x == 0) {
      const std::uint64_t all = here == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << here) - 1;
      kept_here = survivors_of(all & ~removed[w], rows);
    }
    __syncthreads();
    const std::uint64_t chosen = kept_here;
    for (int v = w + 1 + threadIdx.x; v < words; v += kBlock) {
      std::uint64_t gone = removed[v];
#pragma unroll 8
      for (int i = 0; i < here; ++i) {
        if (chosen >> i & 1) gone |= t.bits[(first + base + i) * t.words + v];
      }
      removed[v] = gone;
    }
    if (threadIdx.x < 64 && (chosen >> threadIdx.x & 1)) {
      const int place = kept + __popcll(chosen & ((std::uint64_t{1} << threadIdx.x) - 1));
      if (place < most) t.kept[std::int64_t{task} * most + place] = t.boxes[first + base + threadIdx.x];
    }
    kept += __popcll(chosen);
    __syncthreads();
  }
  if (threadIdx.x == 0) t.results[task].kept = min(kept, most), t.results[task].survivors = kept;
}

constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

struct Sizes {
  std::size_t tasks, cells, limit, words;
  explicit Sizes(const Decode& d)
      : tasks(static_cast<std::size_t>(d.tasks)),
        cells(static_cast<std::size_t>(BoxDecoding::cells_of(d.decoding))),
        limit(static_cast<std::size_t>(sorted_limit(d.decoding))),
        words((limit + 63) / 64) {}
  std::size_t keys() const { return aligned(tasks * cells * sizeof(std::uint64_t)); }
  std::size_t labels() const { return aligned(tasks * cells * sizeof(std::int32_t)); }
  std::size_t above() const { return aligned(tasks * limit * sizeof(BevBox)); }
  std::size_t boxes() const { return aligned(tasks * limit * sizeof(Box)); }
  std::size_t bits() const { return aligned(tasks * limit * words * sizeof(std::uint64_t)); }
};

}  // namespace

std::size_t decode_workspace_bytes(const Decode& decode) {
  const Sizes s(decode);
  return s.keys() + s.labels() + s.above() + s.boxes() + s.bits();
}

std::size_t decode_result_bytes(const Decode& decode) {
  const auto boxes = static_cast<std::size_t>(decode.tasks) * static_cast<std::size_t>(decode.decoding.most_boxes);
  return aligned(sizeof(DecodeResult) * static_cast<std::size_t>(decode.tasks)) + boxes * sizeof(Box);
}

int launch_decode(const Decode& decode, const float* maps, void* workspace, void* result, CUstream_st* stream) {
  if (decode.tasks < 1 || decode.tasks > Decode::kMostTasks) return cudaErrorInvalidValue;
  const Sizes s(decode);
  Task t{.decode = decode, .maps = maps};
  t.cells = static_cast<int>(s.cells), t.limit = static_cast<int>(s.limit), t.words = static_cast<int>(s.words);
  auto* at = static_cast<std::byte*>(workspace);
  t.keys = reinterpret_cast<std::uint64_t*>(at), at += s.keys();
  t.labels = reinterpret_cast<std::int32_t*>(at), at += s.labels();
  t.above = reinterpret_cast<BevBox*>(at), at += s.above();
  t.boxes = reinterpret_cast<Box*>(at), at += s.boxes();
  t.bits = reinterpret_cast<std::uint64_t*>(at);
  t.results = static_cast<DecodeResult*>(result);
  const std::size_t counts = aligned(sizeof(DecodeResult) * s.tasks);
  t.kept = reinterpret_cast<Box*>(static_cast<std::byte*>(result) + counts);

  const auto tasks = static_cast<unsigned>(decode.tasks);
  const auto blocks_of_cells = static_cast<unsigned>((s.cells + kBlock - 1) / kBlock);
  const cudaError_t cleared = cudaMemsetAsync(result, 0, counts, stream);
  if (cleared != cudaSuccess) return cleared;
  const auto start = [&](void (*kernel)(const Task), dim3 blocks, std::size_t shared) {
    cudaLaunchConfig_t config = {};
    config.gridDim = blocks, config.blockDim = kBlock, config.dynamicSmemBytes = shared, config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, t);
  };
  cudaError_t status = start(find, dim3(blocks_of_cells, tasks), 0);
  if (status == cudaSuccess) status = start(rank, dim3(blocks_of_cells < 32 ? blocks_of_cells : 32, tasks), 0);
  if (status == cudaSuccess) status = start(compare, dim3(64, tasks), 0);
  if (status == cudaSuccess) status = start(suppress, dim3(tasks), s.words * sizeof(std::uint64_t));
  return status;
}

}  // namespace octet::kernels::cuda
