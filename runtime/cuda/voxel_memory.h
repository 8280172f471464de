// VoxelMemory: where a frame's points lie on the device and what voxelising them needs (runtime/cuda/voxels.h), laid
// out for so many points.
#pragma once

#include "runtime/cuda/sites_memory.h"
#include "runtime/cuda/voxels.h"
#include "runtime/voxels.h"

namespace octet::cuda {

class VoxelMemory {
 public:
  VoxelMemory() = default;
  // Points of `features` floats; `sites`: whose level 0 the voxels become.
  VoxelMemory(const VoxelOptions& options, int features, int batch, std::int64_t points, const SitesMemory& sites);

  std::size_t bytes() const { return bytes_; }
  // `memory`: bytes() of device memory, 256-byte aligned; `sites` has its place already; `means`: [capacity of level
  // 0][features]; all on the device, all to outlive this.
  void place(std::byte* memory, const SitesMemory& sites, float* means, VoxelTally* tally);

  const VoxelTask& task() const { return task_; }
  float* points() const { return points_; }
  std::int32_t* first() const { return first_; }

 private:
  VoxelTask task_;
  float* points_ = nullptr;
  std::int32_t* first_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace octet::cuda
