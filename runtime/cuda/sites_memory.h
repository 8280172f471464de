// SitesMemory: where a frame's sites and kernel maps lie on the device (runtime/cuda/sites.h), laid out for so many
// sites of each level.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "runtime/cuda/sites.h"
#include "runtime/sparse_plan.h"

namespace octet::cuda {

class SitesMemory {
 public:
  // What a Context begins with where `sites` of the input's level are expected: half as many at each further level, as
  // scans of surfaces have.
  static std::vector<std::int64_t> first_capacity(const SparsePlan& plan, std::int64_t sites);

  SitesMemory() = default;
  // Throws Error, which begins with `name`, when a level has more cells than CUDA's index can count.
  SitesMemory(const std::string& name, const SparsePlan& plan, std::int64_t batch,
              std::span<const std::int64_t> capacity);

  std::size_t bytes() const { return bytes_; }
  // `memory`: bytes() of zeros, 256-byte aligned; `rows`: one a level. Both on the device, both to outlive this.
  void place(std::byte* memory, std::int32_t* rows);

  SitesTask task() const;
  const SitesLevel& level(int index) const { return levels_[static_cast<std::size_t>(index)]; }
  const SitesMap& map(int rulebook) const { return maps_[static_cast<std::size_t>(rulebook)]; }
  std::int64_t taps(int rulebook) const;
  // Brings a frame back from the device, where nothing may be running that changes it.
  void fetch(SparseGeometry& to) const;

 private:
  std::vector<SitesLevel> levels_;
  std::vector<SitesMap> maps_;
  std::uint64_t* all_bits_ = nullptr;
  std::int64_t all_words_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace octet::cuda
