// How points become voxels, and what became of them. kernels/voxelise.h defines the result and makes it on the CPU; a
// program for CUDA may begin with it (PlanOptions::voxels).
#pragma once

#include <array>
#include <span>

#include "runtime/sparse.h"

namespace octet {

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

// Writes numbers of cells where `filled` says 0, all. Throws Error for sizes that are not positive and finite, a grid
// that check() refuses, or max_points below 1.
void check(VoxelOptions& options);

// The clouds of a batch: clouds[b] holds frame b's points, so many floats each.
using PointClouds = std::span<const std::span<const float>>;

}  // namespace octet
