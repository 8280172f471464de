#ifdef OCTET_HAS_CUDA
#include "runtime/cuda/sites_memory.h"

#include <algorithm>

#include "runtime/cuda/memory.h"
#include "runtime/cuda/pieces.h"
#include "runtime/error.h"

namespace octet::cuda {
namespace {

constexpr std::int64_t kFewest = 256;  // sites that there is always room for

SitesWindow window_of(const SparseWindow& w) {
  SitesWindow to;
  for (std::size_t i = 0; i < 3; ++i) {
    to.kernel[i] = w.kernel[i], to.stride[i] = w.stride[i];
    to.padding[i] = w.padding[i], to.dilation[i] = w.dilation[i];
  }
  return to;
}

std::int64_t taps_of(const SitesMap& map) {
  return std::int64_t{map.window.kernel[0]} * map.window.kernel[1] * map.window.kernel[2];
}

}  // namespace

std::vector<std::int64_t> SitesMemory::first_capacity(const SparsePlan& plan, std::int64_t sites) {
  std::vector<std::int64_t> capacity;
  for (const SparseLevel& level : plan.levels()) {
    const std::int64_t expected = level.from < 0 ? sites : capacity[static_cast<std::size_t>(level.from)] / 2;
    capacity.push_back(std::max(kFewest, expected));
  }
  return capacity;
}

SitesMemory::SitesMemory(const std::string& name, const SparsePlan& plan, std::int64_t batch,
                         std::span<const std::int64_t> capacity) {
  for (std::size_t i = 0; i < plan.levels().size(); ++i) {
    const SparseLevel& level = plan.levels()[i];
    require(level.grid.cells() <= kMostCells / batch,
            "{}: a grid of {} for a batch of {} has more than the 2^31 cells that CUDA's index counts; --device cpu "
            "runs it",
            name, level.grid.str(), batch);
    require(capacity[i] <= kMostCells, "{}: {} sites of a level", name, capacity[i]);
    SitesLevel& to = levels_.emplace_back();
    to.size[0] = static_cast<std::int32_t>(level.grid.z), to.size[1] = static_cast<std::int32_t>(level.grid.y);
    to.size[2] = static_cast<std::int32_t>(level.grid.x);
    to.from = level.from, to.window = window_of(level.window);
    to.capacity = static_cast<std::int32_t>(capacity[i]);
    to.words = static_cast<std::int32_t>((level.grid.cells() * batch + 63) / 64);
  }
  for (const RulebookPlan& r : plan.rulebooks()) {
    maps_.push_back({.from = r.from, .to = r.to, .inverse = r.inverse_of >= 0, .window = window_of(r.window)});
  }
  place(nullptr, nullptr);
}

void SitesMemory::place(std::byte* memory, std::int32_t* rows) {
  Pieces pieces(memory);
  all_words_ = 0;
  for (const SitesLevel& level : levels_) all_words_ += level.words;
  all_bits_ = pieces.take<std::uint64_t>(all_words_);
  std::int64_t word = 0;
  for (SitesLevel& level : levels_) {
    level.bits = all_bits_ == nullptr ? nullptr : all_bits_ + word;
    word += level.words;
    level.rank = pieces.take<std::int32_t>(level.words);
    level.block_rows = pieces.take<std::int32_t>(level.words / kWordsOfBlock + 1);
    level.keys = pieces.take<std::int64_t>(level.capacity);
    level.rows = rows == nullptr ? nullptr : rows + (&level - levels_.data());
  }
  for (SitesMap& map : maps_) map.map = pieces.take<std::int32_t>(taps_of(map) * level(map.to).capacity);
  bytes_ = pieces.used();
}

SitesTask SitesMemory::task() const {
  return {.levels = levels_.data(),
          .level_count = static_cast<int>(levels_.size()),
          .maps = maps_.data(),
          .map_count = static_cast<int>(maps_.size()),
          .all_bits = all_bits_,
          .all_words = all_words_};
}

std::int64_t SitesMemory::taps(int rulebook) const { return taps_of(map(rulebook)); }

void SitesMemory::fetch(SparseGeometry& to) const {
  const auto copy = [](void* target, const void* source, std::int64_t bytes) {
    if (bytes == 0) return;
    check(cudaMemcpy(target, source, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost), "copying sites");
  };
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    std::int32_t count = 0;
    copy(&count, levels_[i].rows, sizeof count);
    rows.push_back(std::min(count, levels_[i].capacity));
    std::vector<std::int64_t> keys(static_cast<std::size_t>(rows.back()));
    copy(keys.data(), levels_[i].keys, rows.back() * static_cast<std::int64_t>(sizeof(std::int64_t)));
    to.set_level(static_cast<int>(i), std::move(keys));
  }
  for (std::size_t i = 0; i < maps_.size(); ++i) {
    const SitesMap& map = maps_[i];
    const std::int64_t count = rows[static_cast<std::size_t>(map.to)], capacity = level(map.to).capacity;
    Rulebook& rulebook = to.set_rulebook(static_cast<int>(i), taps_of(map), count);
    for (std::int64_t tap = 0; tap < taps_of(map); ++tap) {
      copy(rulebook.tap(tap), map.map + tap * capacity, count * static_cast<std::int64_t>(sizeof(std::int32_t)));
    }
  }
}

}  // namespace octet::cuda
#endif
