// Sites and rulebooks against brute force, on grids too large for 32-bit keys, and for any number of threads.
#include <doctest/doctest.h>

#include <limits>

#include "runtime/error.h"
#include "tests/sparse_clouds.h"

using namespace octet;
using namespace octet::test;

namespace {

SparseWindow submanifold(SparseWindow::Triple kernel, SparseWindow::Triple dilation = {1, 1, 1}) {
  SparseWindow w{.kernel = kernel, .dilation = dilation, .submanifold = true};
  for (std::size_t i = 0; i < 3; ++i) w.padding[i] = dilation[i] * (kernel[i] - 1) / 2;
  return w;
}

const std::vector<SparseWindow> kWindows = {
    submanifold({3, 3, 3}),
    submanifold({1, 3, 3}),
    submanifold({1, 1, 1}),
    submanifold({5, 3, 1}),
    submanifold({3, 3, 3}, {2, 1, 3}),
    {.kernel = {3, 3, 3}, .stride = {2, 2, 2}, .padding = {1, 1, 1}},
    {.kernel = {3, 3, 3}, .stride = {2, 2, 2}, .padding = {0, 1, 1}},
    {.kernel = {3, 1, 1}, .stride = {2, 1, 1}},
    {.kernel = {2, 2, 2}, .stride = {2, 2, 2}},
    {.kernel = {1, 2, 4}, .stride = {1, 3, 2}, .padding = {0, 2, 1}, .dilation = {1, 2, 1}},
    {.kernel = {3, 3, 3}, .padding = {1, 1, 1}},
    {.kernel = {2, 3, 3}, .stride = {3, 1, 2}, .padding = {3, 2, 4}, .dilation = {2, 3, 2}},
};

std::vector<std::int32_t> entries(const Rulebook& r) { return {r.map().begin(), r.map().end()}; }

// Everything about one cloud and one window: sites, kernel map, its inverse; with a bitmap or without.
void compare(const std::vector<std::int64_t>& keys, const SparseGrid& grid, int batch, const SparseWindow& window,
             ThreadPool& pool, std::int64_t most_cells) {
  const SparseGrid to = output_grid("test", grid, window);
  SiteIndex in, reached;
  in.assign(keys, grid.cells() * batch, most_cells);
  std::vector<std::int64_t> out = keys;
  if (!window.submanifold) {
    output_sites(keys, grid, to, batch, window, reached, out, most_cells);
    REQUIRE(out == brute_sites(keys, grid, to, batch, window));
    REQUIRE(std::vector<std::int64_t>(reached.keys().begin(), reached.keys().end()) == out);
  }
  Rulebook rulebook, inverse;
  make_rulebook(in, grid, out, to, window, pool, rulebook);
  const std::vector<std::int32_t> wanted = brute_map(keys, grid, out, to, window);
  REQUIRE(entries(rulebook) == wanted);
  REQUIRE(rulebook.pairs() == std::ranges::count_if(wanted, [](auto row) { return row >= 0; }));
  invert(rulebook, static_cast<std::int64_t>(keys.size()), inverse);
  REQUIRE(inverse.pairs() == rulebook.pairs());
  std::int64_t wrong = 0;
  for (std::int64_t tap = 0; tap < rulebook.taps(); ++tap) {
    for (std::int64_t row = 0; row < rulebook.rows(); ++row) {
      const std::int32_t input = rulebook.input(tap, row);
      wrong += input >= 0 && inverse.input(tap, input) != row;
    }
  }
  REQUIRE(wrong == 0);
}

}  // namespace

TEST_CASE("rulebooks equal brute force, entry by entry, on 200 random clouds a window") {
  Random random(6);
  ThreadPool one(1), three(3);
  for (const SparseWindow& window : kWindows) {
    for (int cloud = 0; cloud < 200; ++cloud) {
      const SparseGrid grid{random.between(3, 5), random.between(5, 8), random.between(7, 9)};
      const int batch = random.between(1, 3);
      const double share = cloud == 0 ? 0.0 : cloud == 1 ? 0.99 : random.between(1, 40) / 100.0;
      const std::vector<std::int64_t> keys = random_sites(random, grid, batch, share);
      compare(keys, grid, batch, window, cloud % 2 == 0 ? one : three,
              cloud % 3 == 0 ? 0 : SiteIndex::kMostCells);  // every third without a bitmap
    }
  }
}

TEST_CASE("any number of threads gives the same rulebook") {
  Random random(7);
  const SparseGrid grid{9, 40, 50};
  const std::vector<std::int64_t> keys = random_sites(random, grid, 2, 0.3);
  for (const SparseWindow& window : kWindows) {
    std::vector<std::int32_t> first;
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      SparsePlan plan;
      plan.add_input(grid);
      const SparsePlan::Use use = plan.add("conv", 0, window, "");
      SparseGeometry geometry(plan);
      geometry.build(keys, 2, pool);
      const std::vector<std::int32_t> made = entries(geometry.rulebook(use.rulebook));
      if (threads == 1) first = made;
      CHECK(made == first);
    }
  }
}

TEST_CASE("the drawing in rulebook.h") {
  const SparseGrid grid{1, 5, 5};
  const std::vector<std::int64_t> keys = {6, 7, 12, 24};
  SiteIndex index;
  index.assign(keys, grid.cells());
  ThreadPool pool(1);
  Rulebook r;
  make_rulebook(index, grid, keys, grid, submanifold({1, 3, 3}), pool, r);
  const std::vector<std::int32_t> none = {-1, -1, -1, -1};
  const std::vector<std::vector<std::int32_t>> drawn = {{-1, -1, 0, -1}, {-1, -1, 1, -1}, none, {-1, 0, -1, -1},
                                                        {0, 1, 2, 3},    {1, -1, -1, -1}, none, {-1, 2, -1, -1},
                                                        {2, -1, -1, -1}};
  for (std::size_t tap = 0; tap < drawn.size(); ++tap) {
    for (std::size_t row = 0; row < 4; ++row) {
      CHECK(r.input(static_cast<std::int64_t>(tap), static_cast<std::int64_t>(row)) == drawn[tap][row]);
    }
  }
  CHECK(cell_of(grid, 24).y == 4);
  CHECK(cell_of({4, 5, 6}, ((2 * 4 + 3) * 5 + 1) * 6 + 4).batch == 2);
}

// Two far corners and a million sites between them. The neighbours of a site are known: those of the pattern.
TEST_CASE("grids of 4096^3 with a million voxels do not overflow") {
  const SparseGrid grid{4096, 4096, 4096};
  std::vector<std::int64_t> keys;
  for (std::int64_t i = 0; i < 1000; ++i) {  // rows of 1000 cells, 4 apart in y and z
    for (std::int64_t x = 0; x < 1000; ++x) keys.push_back(grid.key(0, 4 * i + 95, 4 * i + 95, 3000 + x));
  }
  keys.push_back(grid.key(0, 4095, 4095, 4095));
  SparseTensor tensor{.grid = grid, .keys = keys, .features = Tensor(DType::f32, Shape{1000001, 1})};
  check(tensor);
  SparsePlan plan;
  plan.add_input(grid);
  const SparsePlan::Use same = plan.add("same", 0, submanifold({3, 3, 3}), "");
  const SparsePlan::Use down =
      plan.add("down", 0, {.kernel = {3, 3, 3}, .stride = {2, 2, 2}, .padding = {1, 1, 1}}, "");
  SparseGeometry geometry(plan);
  ThreadPool pool(2);
  geometry.build(keys, 1, pool);
  CHECK(geometry.rulebook(same.rulebook).pairs() == 1000 * (1000 + 2 * 999) + 1);
  const SparseGrid half = plan.levels()[1].grid;
  CHECK(half == SparseGrid{2048, 2048, 2048});
  // Odd rows reach two cells along z and y each; x from 3000 on, 1500 .. 1999 and, for 3999, 2000.
  CHECK(geometry.rows(down.level) == 1000 * 4 * 501 + 1);
  CHECK(geometry.keys(down.level).back() == half.key(0, 2047, 2047, 2047));
  CHECK(std::ranges::is_sorted(geometry.keys(down.level)));
}

TEST_CASE("sparse tensors and windows that make no sense are refused") {
  const auto tensor = [](std::vector<std::int64_t> keys) {
    const auto rows = static_cast<std::int64_t>(keys.size());
    return SparseTensor{.grid = {2, 3, 4}, .keys = std::move(keys), .features = Tensor(DType::f32, Shape{rows, 2})};
  };
  check(tensor({}));
  check(tensor({0, 5, 23}));
  CHECK_THROWS_WITH_AS(check(tensor({0, 5, 5})), doctest::Contains("repeats"), Error);
  CHECK_THROWS_WITH_AS(check(tensor({5, 0})), doctest::Contains("ascending"), Error);
  CHECK_THROWS_WITH_AS(check(tensor({24})), doctest::Contains("outside of the grid 2x3x4"), Error);
  CHECK_THROWS_WITH_AS(check(tensor({-1})), doctest::Contains("outside"), Error);
  SparseTensor short_features = tensor({1, 2});
  short_features.features = Tensor(DType::f32, Shape{1, 2});
  CHECK_THROWS_WITH_AS(check(short_features), doctest::Contains("f32 [2, channels]"), Error);
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  CHECK_THROWS_AS(check("grid", {huge, huge, huge}), Error);
  CHECK_THROWS_AS(check("grid", {1 << 20, 1 << 20, 2}), Error);
  CHECK_THROWS_AS(check("grid", {0, 1, 1}), Error);

  const SparseGrid grid{4, 4, 4};
  CHECK_THROWS_AS(output_grid("conv", grid, {.kernel = {5, 1, 1}}), Error);
  CHECK_THROWS_AS(output_grid("conv", grid, {.kernel = {0, 1, 1}}), Error);
  CHECK_THROWS_AS(output_grid("conv", grid, {.stride = {0, 1, 1}}), Error);
  CHECK_THROWS_AS(output_grid("conv", grid, {.padding = {0, 0, -1}}), Error);
  CHECK_THROWS_AS(output_grid("conv", grid, {.kernel = {2, 1, 1}, .submanifold = true}), Error);
  CHECK_THROWS_AS(output_grid("conv", grid, {.kernel = {100, 100, 1}, .padding = {100, 100, 0}}), Error);

  SparsePlan plan;
  plan.add_input(grid);
  SparseWindow half{.kernel = {2, 2, 2}, .stride = {2, 2, 2}};
  const SparsePlan::Use down = plan.add("down", 0, half, "");
  CHECK(plan.add("twin", 0, half, "").level == down.level);  // strided alike: the same sites
  half.inverse = true, half.restored = grid;
  CHECK_THROWS_WITH_AS(plan.add("up", down.level, half, "nobody"), doctest::Contains("'nobody'"), Error);
  CHECK_THROWS_AS(plan.add("up", 0, half, "down"), Error);
  CHECK(plan.add("up", down.level, half, "down").level == 0);
  half.restored = {4, 4, 5};
  CHECK_THROWS_AS(plan.add("wrong", down.level, half, "down"), Error);
}
