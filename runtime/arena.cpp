#include "runtime/arena.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace octet {
namespace {

constexpr std::int64_t kAlignment = 128;  // two cache lines of a CPU, one of a GPU

std::int64_t rounded(std::int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

std::int64_t place_blocks(std::span<ArenaBlock> blocks) {
  std::vector<std::size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](auto a, auto b) { return rounded(blocks[a].bytes) > rounded(blocks[b].bytes); });

  std::int64_t arena = 0;
  std::vector<std::size_t> placed;  // sorted by offset
  for (const std::size_t index : order) {
    ArenaBlock& block = blocks[index];
    const std::int64_t size = rounded(block.bytes);
    std::int64_t offset = 0;
    for (const std::size_t other_index : placed) {
      const ArenaBlock& other = blocks[other_index];
      const bool together = other.first <= block.last && block.first <= other.last;
      if (!together) continue;
      if (offset + size <= other.offset) break;  // it fits into the gap before this one
      offset = std::max(offset, other.offset + rounded(other.bytes));
    }
    block.offset = offset;
    arena = std::max(arena, offset + size);
    const auto after = std::ranges::find_if(placed, [&](std::size_t i) { return blocks[i].offset > offset; });
    placed.insert(after, index);
  }
  return arena;
}

}  // namespace octet
