// Voxelisation: from a point cloud to the sparse tensor that a network starts from. A pure function of the set of
// points: their order changes nothing, not a bit.
//
// A point (x, y, z, further features) falls into the cell
//
//     i = floor((p - low) / size)  along each axis, in double, IEEE division; inside when p > low and i < filled
//
// and a voxel's features are the means over its points of every feature (coordinates too). At most `max_points` points
// of a voxel count. Which ones, and in which order they are summed, follows from the points themselves: the points of a
// voxel are sorted by their features' bits read as integers, x first (so equal points are interchangeable), and the
// first max_points of them are summed left to right in float32, then divided by their number.
//
// Voxels come out in ascending key order (runtime/sparse.h). With more than `max_voxels` voxels, those with the
// smallest keys stay and the others are counted; 0 means no limit.
#pragma once

#include <span>

#include "runtime/sparse.h"
#include "runtime/thread_pool.h"
#include "runtime/voxels.h"

namespace octet::kernels {

using octet::VoxelCounts;
using octet::VoxelOptions;

// Keeps its memory from frame to frame; not thread-safe.
class Voxeliser {
 public:
  // Throws Error for sizes that are not positive and finite, a grid that check() refuses, or max_points below 1.
  explicit Voxeliser(const VoxelOptions& options);

  // One cloud a batch index: `clouds[b]` holds points of `features` floats each (at least 3: x, y, z). Writes the
  // voxels to `out`, whose memory is used again where it is large enough. Throws Error when a cloud's size is not a
  // multiple.
  VoxelCounts run(std::span<const std::span<const float>> clouds, int features, ThreadPool& pool, SparseTensor& out);
  VoxelCounts run(std::span<const float> cloud, int features, ThreadPool& pool, SparseTensor& out) {
    return run({&cloud, 1}, features, pool, out);
  }

 private:
  struct Entry {
    std::int64_t key;
    std::int32_t cloud, point;
  };
  class Finder;
  class Averager;

  VoxelOptions options_;
  std::vector<Entry> entries_, other_;
  std::vector<std::int64_t> first_;  // of each voxel, in entries_; one more at the end
};

}  // namespace octet::kernels
