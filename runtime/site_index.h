// SiteIndex: from a cell's key to the row of its site, without probing or sorting.
//
// One bit a cell says whether it is active; beside each word of 64 bits stands the row of its first active cell (its
// "rank"). Since rows ascend with keys, a cell's row is its word's rank plus the number of active cells before it in
// the word:
//
//     cells    0  1  2  3  4  5  6  7 | 8  9 10 11 12 13 14 15      (words of 8 for the drawing)
//     bits     .  1  .  .  1  1  .  . | .  .  1  .  .  .  .  1
//     rank     0                      | 3                            row of cell 10 = 3 + 0, of cell 15 = 3 + 1
//
// Making and clearing the index touches only the words of active cells, and memory that was never touched is never
// backed by the system: a frame costs as many steps as it has sites, whatever the grid's size. Above 2^31 cells
// (SiteIndex::kMostCells) there is no bitmap; rows are then found by walking two sorted lists of keys (rulebook.cpp).
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

namespace octet {

class SiteIndex {
 public:
  static constexpr std::int64_t kMostCells = std::int64_t{1} << 31;

  // Becomes the index of `keys` (ascending, each below `cells`), which it keeps a reference to and which must stay
  // until the next call. Uses a bitmap when `cells` <= `most_cells`. Throws Error when there is no memory.
  void assign(std::span<const std::int64_t> keys, std::int64_t cells, std::int64_t most_cells = kMostCells);
  // Becomes the index of the keys that `mark` names, in any order and as often as it likes: mark(add) calls add(key).
  // Returns them ascending. Only with a bitmap.
  template <class Mark>
  void collect(std::int64_t cells, std::vector<std::int64_t>& keys, Mark mark) {
    clear();
    reserve(cells);
    mark([this](std::int64_t key) { set(key); });
    list(keys);
    rank(keys);
    keys_ = keys;
  }

  bool has_bitmap() const { return bitmap_; }
  std::span<const std::int64_t> keys() const { return keys_; }

  // -1 when the cell is not active. Only with a bitmap. Without a branch: whether a neighbour is there is a toss-up.
  std::int32_t row(std::int64_t key) const {
    const std::uint64_t word = bits_[key >> 6], bit = std::uint64_t{1} << (key & 63);
    const std::int32_t there = -static_cast<std::int32_t>(word >> (key & 63) & 1);  // all bits, or none
    return ((rank_[key >> 6] + population(word & (bit - 1))) & there) | ~there;
  }
  // The same of K cells from `key` on, which must share a word: (key & 63) + K <= 64. `Counts`: how bits are counted,
  // &population or, where counts_in_hardware(), &population_in_hardware.
  template <int K, std::int32_t (*Counts)(std::uint64_t)>
  void rows_in_word(std::int64_t key, std::int32_t (&rows)[K]) const {
    const std::uint64_t word = bits_[key >> 6], cells = word >> (key & 63);
    std::int32_t next = rank_[key >> 6] + Counts(word & ((std::uint64_t{1} << (key & 63)) - 1));
    for (int k = 0; k < K; ++k) {
      const auto there = static_cast<std::int32_t>(cells >> k & 1);
      rows[k] = (next & -there) | (there - 1);
      next += there;
    }
  }

  // The bits of a word, counted without the instruction that the baseline of x86-64 lacks.
  static std::int32_t population(std::uint64_t v) {
    v -= v >> 1 & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return static_cast<std::int32_t>(v * 0x0101010101010101u >> 56);
  }
#if defined(__x86_64__)
  // The same by one instruction; only where counts_in_hardware(). (As assembly: the file is compiled for the baseline.)
  static std::int32_t population_in_hardware(std::uint64_t v) {
    asm("popcntq %0, %0" : "+r"(v) : : "cc");
    return static_cast<std::int32_t>(v);
  }
  // Whether this processor has that instruction.
  static bool counts_in_hardware() { return __builtin_cpu_supports("popcnt") != 0; }
#else
  static std::int32_t population_in_hardware(std::uint64_t v) { return population(v); }
  static bool counts_in_hardware() { return false; }
#endif

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  template <class T>
  using Zeroed = std::unique_ptr<T[], Free>;

  void set(std::int64_t key) {
    bits_[key >> 6] |= std::uint64_t{1} << (key & 63);
    touched_[key >> 12] |= std::uint64_t{1} << (key >> 6 & 63);
  }
  void clear();
  void reserve(std::int64_t cells);
  void list(std::vector<std::int64_t>& keys) const;
  void rank(std::span<const std::int64_t> keys);

  std::int64_t cells_ = 0;  // that there is memory for
  bool bitmap_ = false;
  Zeroed<std::uint64_t> bits_;     // one a cell
  Zeroed<std::uint64_t> touched_;  // one a word of bits_: which are not 0
  Zeroed<std::int32_t> rank_;      // one a word of bits_; meaningful where that is not 0
  std::span<const std::int64_t> keys_;
  std::vector<std::int64_t> marked_;  // first key of each word that is set, to be cleared
};

}  // namespace octet
