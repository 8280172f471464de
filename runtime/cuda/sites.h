// The sites and kernel maps of one frame in a device's memory: what runtime/sparse_plan.h's SparseGeometry is on the
// CPU. An executor lays the memory out once, for `capacity` sites of each level; a kernel (op "sites") fills it for
// every frame. How many sites there are is known on the device alone: later kernels read it there. Plain: .cu files
// include it.
//
//   - keys ascend, as everywhere, so rows and maps are the CPU's.
//   - A level's index is runtime/site_index.h's: one bit a cell, beside each word of 64 the row of its first site.
//   - A map is [taps][capacity of its output level] of s32: as runtime/rulebook.h's, but for the distance of taps.
//   - Where a level has more sites than its capacity, `rows` says how many, what lies beyond is not stored, and whoever
//     reads clamps. The executor sees it behind the run, makes room, and runs the frame again.
#pragma once

#include <cstdint>

namespace octet::cuda {

constexpr std::int64_t kMostCells = (std::int64_t{1} << 31) - 1;  // of a level, counted with the batch
constexpr int kWordsOfBlock = 1024;                               // words of an index that one block of threads lists

struct SitesWindow {  // runtime/sparse.h's SparseWindow; z, y, x
  std::int32_t kernel[3] = {1, 1, 1}, stride[3] = {1, 1, 1}, padding[3] = {0, 0, 0}, dilation[3] = {1, 1, 1};
};

struct SitesLevel {
  std::int32_t size[3] = {1, 1, 1};  // of the grid: z, y, x
  int from = -1;                     // the level that it is made from; -1: the input's
  SitesWindow window;                // through which
  std::int32_t capacity = 0;
  std::int64_t* keys = nullptr;        // [capacity]
  std::int32_t* rows = nullptr;        // how many there are; may exceed the capacity
  std::uint64_t* bits = nullptr;       // [words]
  std::int32_t* rank = nullptr;        // [words]
  std::int32_t* block_rows = nullptr;  // [words / kWordsOfBlock, rounded up]: sites in each block of words
  std::int32_t words = 0;              // 64 cells each, of the whole batch
};

struct SitesMap {
  int from = 0, to = 0;  // levels
  bool inverse = false;  // `window` is that of the convolution to be undone, which led from `to` to `from`
  SitesWindow window;
  std::int32_t* map = nullptr;
};

// What the kernels of op "sites" get as StepArgs::params.
struct SitesTask {
  const SitesLevel* levels = nullptr;  // host memory; level 0 first, each behind the one that it is made from
  int level_count = 0;
  const SitesMap* maps = nullptr;  // host memory
  int map_count = 0;
  // All levels' bits, one behind the other: cleared together.
  std::uint64_t* all_bits = nullptr;
  std::int64_t all_words = 0;
  bool indexed = false;  // level 0's keys, rows, bits and rank are there already, and all other bits are cleared
};

}  // namespace octet::cuda
