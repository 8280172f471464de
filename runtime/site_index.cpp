#include "runtime/site_index.h"

#include <bit>

#include "runtime/error.h"

namespace octet {
namespace {

constexpr std::int64_t kCellsOfSummary = 64 * 64;  // that one word of touched_ stands for

}  // namespace

void SiteIndex::clear() {
  for (const std::int64_t key : marked_) {
    bits_[key >> 6] = 0;
    touched_[key >> 12] = 0;
  }
  marked_.clear();
  keys_ = {};
  bitmap_ = false;
}

void SiteIndex::reserve(std::int64_t cells) {
  bitmap_ = true;
  if (cells <= cells_) return;
  const std::int64_t summaries = (cells + kCellsOfSummary - 1) / kCellsOfSummary;
  const auto zeroed = [&](std::int64_t count, std::size_t size) {
    void* memory = std::calloc(static_cast<std::size_t>(count), size);  // NOLINT: pages come zeroed, and when touched
    require(memory != nullptr, "out of memory: the bitmap of a grid with {} cells", cells);
    return memory;
  };
  cells_ = 0;
  touched_.reset(static_cast<std::uint64_t*>(zeroed(summaries, sizeof(std::uint64_t))));
  bits_.reset(static_cast<std::uint64_t*>(zeroed(summaries * 64, sizeof(std::uint64_t))));
  rank_.reset(static_cast<std::int32_t*>(zeroed(summaries * 64, sizeof(std::int32_t))));
  cells_ = cells;
}

void SiteIndex::assign(std::span<const std::int64_t> keys, std::int64_t cells, std::int64_t most_cells) {
  clear();
  if (cells <= most_cells) {
    reserve(cells);
    for (const std::int64_t key : keys) set(key);
    rank(keys);
  }
  keys_ = keys;
}

void SiteIndex::list(std::vector<std::int64_t>& keys) const {
  keys.clear();
  for (std::int64_t summary = 0; summary < (cells_ + kCellsOfSummary - 1) / kCellsOfSummary; ++summary) {
    for (std::uint64_t words = touched_[summary]; words != 0; words &= words - 1) {
      const std::int64_t word = summary * 64 + std::countr_zero(words);
      for (std::uint64_t bits = bits_[word]; bits != 0; bits &= bits - 1)
        keys.push_back(word * 64 + std::countr_zero(bits));
    }
  }
}

void SiteIndex::rank(std::span<const std::int64_t> keys) {
  std::int64_t word = -1;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (keys[i] >> 6 == word) continue;
    word = keys[i] >> 6;
    rank_[word] = static_cast<std::int32_t>(i);
    marked_.push_back(keys[i]);
  }
}

}  // namespace octet
