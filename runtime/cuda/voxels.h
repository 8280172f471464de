// Points to voxels on the device: what kernels of op "voxelise" get as StepArgs::params. kernels/voxelise.h defines the
// result, which is the CPU's to the last bit. Plain: .cu files include it.
#pragma once

#include "runtime/cuda/sites.h"

namespace octet::cuda {

// What became of the points of a frame, on the device; kernels/voxelise.h's VoxelCounts, as far as the host cannot
// know.
struct VoxelTally {
  std::int32_t not_finite = 0, out_of_range = 0, beyond_max = 0;
  std::int32_t voxels = 0;  // before max_voxels
};

struct VoxelTask {
  // The frame's clouds, one behind the other; cloud b is points [first[b], first[b + 1]).
  const float* points = nullptr;        // [capacity][features]
  const std::int32_t* first = nullptr;  // [batch + 1], on the device
  int batch = 1, features = 3, capacity = 0;
  double low[3] = {0, 0, 0}, size[3] = {1, 1, 1};  // x, y, z
  std::int32_t filled[3] = {1, 1, 1};              // x, y, z: cells that points may fall into
  int max_points = 10;
  std::int32_t max_voxels = 0;  // 0: no limit
  // The input's level: its keys, rows, bits and rank are made.
  SitesLevel level;
  std::uint64_t* all_bits = nullptr;  // of all levels: cleared
  std::int64_t all_words = 0;
  float* means = nullptr;  // [level.capacity][features]
  // Working memory.
  std::int32_t* key_of = nullptr;                     // [capacity]: a point's key, or -1
  std::int32_t *listed = nullptr, *sorted = nullptr;  // [capacity]: points, voxel by voxel
  std::int32_t *count = nullptr, *start = nullptr;    // [level.capacity]: a voxel's points, where its list starts
  std::int32_t* used = nullptr;                       // [1]: entries of `listed` that are given out
  VoxelTally* tally = nullptr;
};

}  // namespace octet::cuda
