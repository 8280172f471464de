#include "runtime/sparse_plan.h"

#include <algorithm>
#include <exception>

#include "runtime/error.h"

namespace octet {

int SparsePlan::add_input(const SparseGrid& grid) {
  check("sparse input", grid);
  levels_.push_back({.grid = grid});
  return 0;
}

int SparsePlan::rulebook(int from, int to, const SparseWindow& window, int inverse_of) {
  const auto found = std::ranges::find_if(rulebooks_, [&](const RulebookPlan& r) {
    return r.from == from && r.to == to && r.window == window && r.inverse_of == inverse_of;
  });
  if (found != rulebooks_.end()) return static_cast<int>(found - rulebooks_.begin());
  rulebooks_.push_back({from, to, window, inverse_of});
  return static_cast<int>(rulebooks_.size()) - 1;
}

const RulebookPlan& SparsePlan::of(const std::string& asked_by, const std::string& convolution) const {
  const auto found = of_convolution_.find(convolution);
  require(found != of_convolution_.end(), "{}: there is no sparse convolution '{}' before it", asked_by, convolution);
  return rulebooks_[static_cast<std::size_t>(found->second)];
}

SparsePlan::Use SparsePlan::add(const std::string& name, int level, const SparseWindow& window,
                                const std::string& inverse_of) {
  require(level >= 0 && level < static_cast<int>(levels_.size()), "{}: its input is not sparse", name);
  require(window.inverse == !inverse_of.empty(), "{}: an inverse convolution, and no other, names the one it undoes",
          name);
  const SparseGrid grid = levels_[static_cast<std::size_t>(level)].grid;
  if (window.inverse) {
    const RulebookPlan forward = of(name, inverse_of);
    require(forward.to == level, "{}: undoes '{}', whose sites its input does not have", name, inverse_of);
    SparseWindow expected = forward.window;
    expected.inverse = true;
    expected.restored = levels_[static_cast<std::size_t>(forward.from)].grid;
    require(window == expected, "{}: its window is not that of '{}', which it undoes", name, inverse_of);
    return {forward.from, rulebook(level, forward.from, window, of_convolution_.at(inverse_of))};
  }
  int to = level;
  if (!window.submanifold) {
    const auto found =
        std::ranges::find_if(levels_, [&](const SparseLevel& l) { return l.from == level && l.window == window; });
    to = static_cast<int>(found - levels_.begin());
    if (found == levels_.end()) levels_.push_back({output_grid(name, grid, window), level, window});
    check(name, levels_.back().grid);
  } else {
    output_grid(name, grid, window);  // for its checks
  }
  const int index = rulebook(level, to, window, -1);
  of_convolution_[name] = index;
  return {to, index};
}

SparseGeometry::SparseGeometry(const SparsePlan& plan) : plan_(plan) {
  levels_.resize(plan_.levels().size());
  rulebooks_.resize(plan_.rulebooks().size());
}

// The sites of all levels but the input's.
void SparseGeometry::make_sites(std::int64_t batch) {
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    const SparseLevel& level = plan_.levels()[i];
    if (level.from < 0) continue;
    const auto from = static_cast<std::size_t>(level.from);
    output_sites(levels_[from].index.keys(), plan_.levels()[from].grid, level.grid, batch, level.window,
                 levels_[i].index, levels_[i].keys);
    require(levels_[i].keys.size() < std::size_t{1} << 31, "sparse network: a level of {} sites",
            levels_[i].keys.size());
  }
}

void SparseGeometry::make_rulebook_of(std::size_t index, ThreadPool& pool, const std::function<void()>* beside) {
  const RulebookPlan& r = plan_.rulebooks()[index];
  const auto from = static_cast<std::size_t>(r.from), to = static_cast<std::size_t>(r.to);
  if (r.inverse_of >= 0)
    return invert(rulebooks_[static_cast<std::size_t>(r.inverse_of)], rows(r.to), rulebooks_[index]);
  make_rulebook(levels_[from].index, plan_.levels()[from].grid, levels_[to].index.keys(), plan_.levels()[to].grid,
                r.window, pool, rulebooks_[index], beside);
}

// One thread finds the sites, level after level, while the others look up the rulebook of the input's level, where the
// sites are known.
void SparseGeometry::build(std::span<const std::int64_t> keys, std::int64_t batch, ThreadPool& pool) {
  for (const SparseLevel& level : plan_.levels()) check("sparse network", level.grid, batch);
  levels_[0].index.assign(keys, plan_.levels()[0].grid.cells() * batch);
  std::exception_ptr failure;  // (nothing may be thrown on a thread of the pool)
  const std::function<void()> sites = [&] {
    try {
      make_sites(batch);
    } catch (...) {
      failure = std::current_exception();
    }
  };
  const auto of_input = [](const RulebookPlan& r) { return r.from == 0 && r.to == 0 && r.inverse_of < 0; };
  const auto found = std::ranges::find_if(plan_.rulebooks(), of_input);
  const auto first = static_cast<std::size_t>(found - plan_.rulebooks().begin());
  if (first < rulebooks_.size()) {
    make_rulebook_of(first, pool, &sites);
  } else {
    sites();
  }
  if (failure) std::rethrow_exception(failure);
  for (std::size_t i = 0; i < rulebooks_.size(); ++i) {
    if (i != first) make_rulebook_of(i, pool, nullptr);
  }
}

void SparseGeometry::set_level(int index, std::vector<std::int64_t> keys) {
  Sites& level = levels_[static_cast<std::size_t>(index)];
  level.keys = std::move(keys);
  level.index.assign(level.keys, 0, -1);  // no bitmap: nothing is looked up any more
}

Rulebook& SparseGeometry::set_rulebook(int index, std::int64_t taps, std::int64_t rows) {
  Rulebook& rulebook = rulebooks_[static_cast<std::size_t>(index)];
  rulebook.resize(taps, rows);
  return rulebook;
}

std::size_t SparseGeometry::memory_bytes() const {
  std::size_t bytes = 0;
  for (const Rulebook& r : rulebooks_) bytes += r.map().size_bytes();
  for (const Sites& s : levels_) bytes += s.keys.size() * sizeof(std::int64_t);
  return bytes;
}

}  // namespace octet
