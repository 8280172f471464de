// Rulebooks: which input sites each output site of a sparse convolution reads, through which tap. They depend on the
// sites alone, not on features or weights, so one rulebook serves every convolution of the same geometry between the
// same two sets of sites: all submanifold convolutions of a level share one.
//
// A 3x3 submanifold convolution over a flat 5x5 grid with four active sites; taps are numbered in z, y, x order:
//
//            x 0 1 2 3 4        taps  0 1 2       kernel map: the input row for (tap, output row), -1 where no site is
//          y 0 . . . . .              3 4 5
//            1 . a b . .              6 7 8              a   b   c   d
//            2 . . c . .                          tap 0  -1  -1   a  -1        (c's upper left neighbour is a)
//            3 . . . . .        a: row 0              1  -1  -1   b  -1
//            4 . . . . d        b: row 1              3  -1   a  -1  -1
//                               c: row 2              4   a   b   c   d        (itself)
//          keys 6, 7, 12, 24    d: row 3              5   b  -1  -1  -1
//                                                     7  -1   c  -1  -1
//                                                     8   c  -1  -1  -1        (taps 2 and 6: all -1)
//
// The convolution is then out[r] = bias + sum over taps k with map(k, r) >= 0 of W[k] * in[map(k, r)].
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "runtime/site_index.h"
#include "runtime/sparse.h"
#include "runtime/thread_pool.h"

namespace octet {

// A kernel map. Memory grows and is kept, so that a rulebook that is made again for every frame soon allocates nothing.
class Rulebook {
 public:
  std::int64_t rows() const { return rows_; }  // output sites
  std::int64_t taps() const { return taps_; }
  // The input row that output row `row` reads through `tap`, or -1.
  std::int32_t input(std::int64_t tap, std::int64_t row) const { return data_[tap * rows_ + row]; }
  // All of it, [taps][rows].
  std::span<const std::int32_t> map() const { return {data_.data(), static_cast<std::size_t>(taps_ * rows_)}; }
  std::int64_t pairs() const;  // entries that are not -1: multiply-accumulates are pairs * C * O

  void resize(std::int64_t taps, std::int64_t rows);  // contents are undefined afterwards
  // One tap's [rows], to be written.
  std::int32_t* tap(std::int64_t index) { return data_.data() + index * rows_; }

 private:
  std::int64_t rows_ = 0, taps_ = 0;
  std::vector<std::int32_t> data_;
};

// The active outputs of a convolution that is neither submanifold nor inverse: every cell of `to` that some site of
// `from` reaches, ascending. `index` becomes their index, with a bitmap when the grid has at most `most_cells` cells;
// beyond, keys are sorted.
void output_sites(std::span<const std::int64_t> keys, const SparseGrid& from, const SparseGrid& to, std::int64_t batch,
                  const SparseWindow& window, SiteIndex& index, std::vector<std::int64_t>& out,
                  std::int64_t most_cells = SiteIndex::kMostCells);

// The kernel map of a convolution (not inverse) from the sites in `in`, on the grid `from`, to the sites `out` on the
// grid `to`. The same bytes for any number of threads. `beside`, if given, is other work that one thread does
// meanwhile; it must not throw.
void make_rulebook(const SiteIndex& in, const SparseGrid& from, std::span<const std::int64_t> out, const SparseGrid& to,
                   const SparseWindow& window, ThreadPool& pool, Rulebook& rulebook,
                   const std::function<void()>* beside = nullptr);

// The kernel map of the inverse convolution: the same pairs the other way round, from `forward`'s outputs to its
// `inputs` sites.
void invert(const Rulebook& forward, std::int64_t inputs, Rulebook& inverse);

}  // namespace octet
