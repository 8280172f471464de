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

#include <array>
#include <span>

#include "runtime/sparse.h"
#include "runtime/thread_pool.h"

namespace octet::kernels {

// How a cloud becomes voxels: where in the world, how large, how many.
struct VoxelOptions {
  std::array<double, 3> low{0, 0, 0};   // x, y, z of the range's corner, metres
  std::array<double, 3> size{1, 1, 1};  // of a voxel; 0.075 as a float is so far off that some points change cells
  SparseGrid grid;                      // of the network's input
  SparseGrid filled{0, 0, 0};           // cells that points may fall into; 0: all. CenterPoint's grid has a z to spare
  int max_points = 10;
  std::int64_t max_voxels = 0;
};

// What became of the points of one frame.
struct VoxelCounts {
  std::int64_t points = 0;          // given
  std::int64_t not_finite = 0;      // a NaN or an infinity in any feature: skipped
  std::int64_t out_of_range = 0;    // skipped
  std::int64_t beyond_max = 0;      // points that their voxel had no room for
  std::int64_t voxels = 0;          // made
  std::int64_t dropped_voxels = 0;  // beyond max_voxels
};

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
