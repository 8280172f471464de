// The levels of a sparse network: which edges have the same sites, and which rulebooks lead from one set of sites to
// another. Known when the network is built; SparseGeometry fills it in for each frame, before any feature is computed.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/rulebook.h"

namespace octet {

// A set of sites. Level 0 is the network's input; others are made by a convolution from an earlier one.
struct SparseLevel {
  SparseGrid grid;
  int from = -1;
  SparseWindow window;
};

// Which levels a rulebook joins.
struct RulebookPlan {
  int from = 0, to = 0;  // levels
  SparseWindow window;
  int inverse_of = -1;  // the rulebook (an earlier one) that this one inverts
};

// Grows as convolutions are added in the network's order. Equal geometry gives equal levels and rulebooks, so that two
// branches which are strided alike may be added to each other.
class SparsePlan {
 public:
  struct Use {
    int level = 0;     // of the convolution's output
    int rulebook = 0;  // that it runs with
  };
  // The network's input. Once, first.
  int add_input(const SparseGrid& grid);
  // A convolution from `level`. An inverse one names in `inverse_of` the convolution that it undoes, must start at that
  // one's output, and repeats its window. Throws Error, which names the convolution.
  Use add(const std::string& name, int level, const SparseWindow& window, const std::string& inverse_of);

  const std::vector<SparseLevel>& levels() const { return levels_; }
  const std::vector<RulebookPlan>& rulebooks() const { return rulebooks_; }
  // The levels between which an earlier convolution, which is not inverse itself, leads. Throws Error for an unknown
  // name.
  const RulebookPlan& of(const std::string& asked_by, const std::string& convolution) const;

 private:
  int rulebook(int from, int to, const SparseWindow& window, int inverse_of);

  std::vector<SparseLevel> levels_;
  std::vector<RulebookPlan> rulebooks_;
  std::map<std::string, int> of_convolution_;  // rulebooks
};

// The sites and rulebooks of one frame. One per Context; memory grows to what frames need and is kept.
class SparseGeometry {
 public:
  explicit SparseGeometry(const SparsePlan& plan);
  // `keys` as in SparseTensor; they must stay until the next call.
  void build(std::span<const std::int64_t> keys, std::int64_t batch, ThreadPool& pool);

  // Of its sites, ascending.
  std::span<const std::int64_t> keys(int level) const { return levels_[static_cast<std::size_t>(level)].index.keys(); }
  std::int64_t rows(int level) const { return static_cast<std::int64_t>(keys(level).size()); }  // its sites
  // By SparsePlan::rulebooks().
  const Rulebook& rulebook(int index) const { return rulebooks_[static_cast<std::size_t>(index)]; }
  std::size_t memory_bytes() const;

  // Instead of build(): what a device has made, level by level and rulebook by rulebook.
  void set_level(int level, std::vector<std::int64_t> keys);
  Rulebook& set_rulebook(int index, std::int64_t taps, std::int64_t rows);  // to be filled

 private:
  struct Sites {
    std::vector<std::int64_t> keys;  // empty at level 0, whose keys are the caller's
    SiteIndex index;
  };
  SparsePlan plan_;
  void make_sites(std::int64_t batch);
  void make_rulebook_of(std::size_t index, ThreadPool& pool, const std::function<void()>* beside);

  std::vector<Sites> levels_;
  std::vector<Rulebook> rulebooks_;
};

}  // namespace octet
