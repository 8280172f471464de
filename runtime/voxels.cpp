#include "runtime/voxels.h"

#include <cmath>

#include "runtime/error.h"

namespace octet {

void check(VoxelOptions& o) {
  check("voxels", o.grid);
  for (std::size_t i = 0; i < 3; ++i) {
    require(std::isfinite(o.size[i]) && o.size[i] > 0 && std::isfinite(o.low[i]),
            "voxels of the size {} from {} on: finite numbers and a size > 0 were expected", o.size[i], o.low[i]);
  }
  require(o.max_points >= 1 && o.max_voxels >= 0, "at most {} points a voxel and {} voxels", o.max_points,
          o.max_voxels);
  const auto fill = [&](std::int64_t& filled, std::int64_t all) {
    require(filled >= 0 && filled <= all, "points may fall into {} of {} cells of an axis", filled, all);
    if (filled == 0) filled = all;
  };
  fill(o.filled.z, o.grid.z), fill(o.filled.y, o.grid.y), fill(o.filled.x, o.grid.x);
}

}  // namespace octet
