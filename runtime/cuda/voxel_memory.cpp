#ifdef OCTET_HAS_CUDA
#include "runtime/cuda/voxel_memory.h"

#include <algorithm>

#include "runtime/cuda/pieces.h"
#include "runtime/error.h"

namespace octet::cuda {

VoxelMemory::VoxelMemory(const VoxelOptions& options, int features, int batch, std::int64_t points,
                         const SitesMemory& sites) {
  VoxelOptions o = options;
  check(o);
  require(points <= INT32_MAX, "{} points: fewer than 2^31 were expected", points);
  task_.batch = batch, task_.features = features, task_.capacity = static_cast<int>(points);
  for (std::size_t i = 0; i < 3; ++i) task_.low[i] = o.low[i], task_.size[i] = o.size[i];
  task_.filled[0] = static_cast<std::int32_t>(o.filled.x), task_.filled[1] = static_cast<std::int32_t>(o.filled.y);
  task_.filled[2] = static_cast<std::int32_t>(o.filled.z);
  task_.max_points = o.max_points;
  task_.max_voxels = static_cast<std::int32_t>(std::min<std::int64_t>(o.max_voxels, kMostCells));
  place(nullptr, sites, nullptr, nullptr);
}

void VoxelMemory::place(std::byte* memory, const SitesMemory& sites, float* means, VoxelTally* tally) {
  Pieces pieces(memory);
  const SitesTask all = sites.task();
  task_.level = sites.level(0);
  task_.all_bits = all.all_bits, task_.all_words = all.all_words;
  task_.means = means, task_.tally = tally;
  const std::int64_t points = task_.capacity, voxels = task_.level.capacity;
  points_ = pieces.take<float>(points * task_.features);
  first_ = pieces.take<std::int32_t>(task_.batch + 1);
  task_.points = points_, task_.first = first_;
  task_.key_of = pieces.take<std::int32_t>(points);
  task_.listed = pieces.take<std::int32_t>(points), task_.sorted = pieces.take<std::int32_t>(points);
  task_.count = pieces.take<std::int32_t>(voxels), task_.start = pieces.take<std::int32_t>(voxels);
  task_.used = pieces.take<std::int32_t>(1);
  bytes_ = pieces.used();
}

}  // namespace octet::cuda
#endif
