// Voxels against a plain definition with maps and sorting, in any order of the points; and the two real frames, where
// ../shared is there: as many voxels and sites as others measured.
#include <doctest/doctest.h>

#include <bit>
#include <cstring>
#include <filesystem>
#include <limits>
#include <numeric>

#include "kernels/voxelise.h"
#include "runtime/error.h"
#include "runtime/io/file.h"
#include "tests/sparse_clouds.h"

using namespace octet;
using namespace octet::test;
namespace fs = std::filesystem;

namespace {

const fs::path kLidar = fs::path(OCTET_SOURCE_DIR).parent_path() / "shared" / "data" / "lidar";

kernels::VoxelOptions options() {
  return {.low = {-2, -3, -1}, .size = {0.3, 0.5, 1.0}, .grid = {4, 12, 16}, .filled = {3, 12, 16}};
}

std::vector<float> cloud(Random& random, int points, int features) {
  std::vector<float> values(static_cast<std::size_t>(points) * features);
  random.fill(values, 3.5);
  for (std::size_t i = features; i < values.size(); i += features) {
    const std::size_t from = random.chance(0.3) ? i - features : i;  // some points twice
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(from), features,
                values.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return values;
}

std::vector<float> shuffled(Random& random, const std::vector<float>& values, int features) {
  const std::size_t points = values.size() / static_cast<std::size_t>(features);
  std::vector<std::size_t> order(points);
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (std::size_t i = points; i > 1; --i) {
    std::swap(order[i - 1], order[static_cast<std::size_t>(random.between(0, static_cast<int>(i) - 1))]);
  }
  std::vector<float> result;
  for (const std::size_t p : order) {
    for (int f = 0; f < features; ++f) result.push_back(values[p * static_cast<std::size_t>(features) + f]);
  }
  return result;
}

// The definition in voxelise.h, word by word.
std::map<std::int64_t, std::vector<float>> defined(const std::vector<float>& values, int features,
                                                   const kernels::VoxelOptions& o) {
  std::map<std::int64_t, std::vector<std::vector<std::uint32_t>>> points;
  for (std::size_t i = 0; i < values.size(); i += static_cast<std::size_t>(features)) {
    const float* p = values.data() + i;
    bool finite = true;
    for (int f = 0; f < features; ++f) finite = finite && std::isfinite(p[f]);
    if (!finite) continue;
    std::int64_t cell[3];
    bool above = true;
    for (std::size_t a = 0; a < 3; ++a)
      cell[a] = static_cast<std::int64_t>(std::floor((static_cast<double>(p[a]) - o.low[a]) / o.size[a])),
      above = above && static_cast<double>(p[a]) > o.low[a];
    if (!above || cell[0] < 0 || cell[0] >= o.filled.x || cell[1] < 0 || cell[1] >= o.filled.y || cell[2] < 0 ||
        cell[2] >= o.filled.z) {
      continue;
    }
    std::vector<std::uint32_t> bits;
    for (int f = 0; f < features; ++f) bits.push_back(std::bit_cast<std::uint32_t>(p[f]));
    points[o.grid.key(0, cell[2], cell[1], cell[0])].push_back(bits);
  }
  std::map<std::int64_t, std::vector<float>> voxels;
  for (auto& [key, all] : points) {
    std::ranges::sort(all);
    const std::size_t kept = std::min<std::size_t>(all.size(), static_cast<std::size_t>(o.max_points));
    for (int f = 0; f < features; ++f) {
      auto sum = std::bit_cast<float>(all[0][static_cast<std::size_t>(f)]);
      for (std::size_t i = 1; i < kept; ++i) sum += std::bit_cast<float>(all[i][static_cast<std::size_t>(f)]);
      voxels[key].push_back(sum / static_cast<float>(kept));
    }
  }
  return voxels;
}

Tensor tensor_file(const char* name, std::size_t size) {  // the frame's own container: magic, rank, type, sizes
  const std::vector<std::byte> bytes = read_file(kLidar / name, 64 << 20);
  std::int32_t head[5];
  std::memcpy(head, bytes.data(), sizeof head);
  REQUIRE(head[0] == 0x33FF1101);
  Tensor tensor(size == 2 ? DType::f16 : DType::s32, Shape{head[3], head[4]});
  REQUIRE(bytes.size() == sizeof head + tensor.bytes());
  std::memcpy(tensor.raw(), bytes.data() + sizeof head, tensor.bytes());
  return tensor;
}

}  // namespace

TEST_CASE("voxels are what the definition says, whatever the order of the points") {
  Random random(11);
  for (const int features : {3, 5, 7}) {
    for (const int points : {0, 1, 40, 3000, 20000}) {
      std::vector<float> values = cloud(random, points, features);
      for (int i = 0; i < points / 20; ++i) {
        const float odd[] = {std::nanf(""), std::numeric_limits<float>::infinity(), 1e30f, -1e30f};
        values[static_cast<std::size_t>(random.between(0, static_cast<int>(values.size()) - 1))] = odd[i % 4];
      }
      kernels::VoxelOptions o = options();
      o.max_points = features == 7 ? 3 : 10;
      const auto wanted = defined(values, features, o);
      kernels::Voxeliser voxeliser(o);
      SparseTensor first;
      for (int order = 0; order < 8; ++order) {
        ThreadPool pool(1 + order % 3);
        SparseTensor made;
        const kernels::VoxelCounts counts = voxeliser.run(shuffled(random, values, features), features, pool, made);
        check(made);
        REQUIRE(made.keys.size() == wanted.size());
        CHECK(counts.points == points);
        CHECK(counts.voxels == made.rows());
        if (points >= 3000) {
          CHECK(counts.not_finite > 0);
          CHECK(counts.out_of_range > 0);
          CHECK((points < 20000 || counts.beyond_max > 0));
        }
        std::size_t row = 0, wrong = 0;
        for (const auto& [key, means] : wanted) {
          wrong += made.keys[row] != key;
          wrong += std::memcmp(means.data(), made.features.span<float>().data() + row * means.size(),
                               means.size() * sizeof(float)) != 0;
          ++row;
        }
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("1,000 orders of the same points give the same bytes, by one thread or several") {
  Random random(41);
  constexpr int kFeatures = 5;
  kernels::VoxelOptions options;
  options.low = {-1, -1, -1}, options.size = {0.5, 0.5, 0.5}, options.grid = {4, 4, 4}, options.max_points = 3;
  std::vector<float> values;  // many points a voxel, some twice, some outside
  for (int i = 0; i < 200 * kFeatures; ++i) values.push_back(static_cast<float>(random.between(-60, 60)) * 0.02f);
  values.insert(values.end(), values.begin(), values.begin() + 20 * kFeatures);
  kernels::Voxeliser voxeliser(options);
  ThreadPool one(1), three(3);
  SparseTensor first, made;
  voxeliser.run(values, kFeatures, one, first);
  REQUIRE(first.rows() > 30);
  int different = 0;
  for (int order = 0; order < 1000; ++order) {
    voxeliser.run(shuffled(random, values, kFeatures), kFeatures, order % 2 == 0 ? one : three, made);
    const auto a = first.features.span<float>(), b = made.features.span<float>();
    different += made.keys != first.keys || a.size_bytes() != b.size_bytes() ||
                 std::memcmp(a.data(), b.data(), a.size_bytes()) != 0;
  }
  CHECK(different == 0);
}

TEST_CASE("too many voxels: those with the smallest keys stay, the others are counted") {
  Random random(12);
  const std::vector<float> values = cloud(random, 3000, 4);
  kernels::VoxelOptions o = options();
  ThreadPool pool(2);
  SparseTensor all, some;
  const auto every = kernels::Voxeliser(o).run(values, 4, pool, all);
  o.max_voxels = 20;
  const auto counts = kernels::Voxeliser(o).run(values, 4, pool, some);
  CHECK(counts.voxels == 20);
  CHECK(counts.dropped_voxels == every.voxels - 20);
  CHECK(std::equal(some.keys.begin(), some.keys.end(), all.keys.begin()));
  // Two clouds: the second's keys follow the first's.
  const std::span<const float> two[] = {values, values};
  o.max_voxels = 0;
  SparseTensor both;
  CHECK(kernels::Voxeliser(o).run(two, 4, pool, both).voxels == 2 * every.voxels);
  check(both);
  CHECK(both.keys[all.keys.size()] == all.keys[0] + o.grid.cells());
}

TEST_CASE("voxels that make no sense are refused") {
  const auto with = [](auto change) {
    kernels::VoxelOptions o = options();
    change(o);
    return kernels::Voxeliser(o);
  };
  CHECK_THROWS_AS(with([](auto& o) { o.size[1] = 0; }), Error);
  CHECK_THROWS_AS(with([](auto& o) { o.size[1] = std::nan(""); }), Error);
  CHECK_THROWS_AS(with([](auto& o) { o.max_points = 0; }), Error);
  CHECK_THROWS_AS(with([](auto& o) { o.grid.z = 0; }), Error);
  CHECK_THROWS_AS(with([](auto& o) { o.filled.x = 17; }), Error);
  kernels::Voxeliser voxeliser(options());
  ThreadPool pool(1);
  SparseTensor out;
  const std::vector<float> seven(7);
  CHECK_THROWS_AS(voxeliser.run(seven, 5, pool, out), Error);
  CHECK_THROWS_AS(voxeliser.run(seven, 2, pool, out), Error);
}

TEST_CASE("a real frame of 271,156 points has 105,126 voxels") {
  if (!fs::exists(kLidar)) {
    MESSAGE("skipped: no " << kLidar.string());
    return;
  }
  const std::vector<std::byte> bytes = read_file(kLidar / "nuscenes_10sweep_ff9eff43.fp16x5.bin", 64 << 20);
  const auto numbers = static_cast<std::int64_t>(bytes.size() / 2);
  Tensor half(DType::f16, Shape{numbers});
  std::memcpy(half.raw(), bytes.data(), bytes.size());
  const Tensor points = half.to_f32();
  kernels::Voxeliser voxeliser(
      {.low = {-54, -54, -5}, .size = {0.075, 0.075, 0.2}, .grid = {41, 1440, 1440}, .filled = {40, 1440, 1440}});
  ThreadPool pool(2);
  SparseTensor out;
  const kernels::VoxelCounts counts = voxeliser.run(points.span<float>(), 5, pool, out);
  CHECK(counts.points == 271156);
  CHECK(counts.voxels == 105126);
  CHECK(counts.dropped_voxels == 0);
}

TEST_CASE("the sites of a real frame's five levels") {
  if (!fs::exists(kLidar)) {
    MESSAGE("skipped: no " << kLidar.string());
    return;
  }
  const Tensor indices = tensor_file("nuscenes_voxels_in_indices_zyx.torch.int32.tensor", 4);
  const SparseGrid grid{41, 1440, 1440};
  std::vector<std::int64_t> keys;
  const auto at = indices.span<std::int32_t>();
  for (std::size_t i = 0; i < at.size(); i += 4) keys.push_back(grid.key(at[i], at[i + 1], at[i + 2], at[i + 3]));
  std::ranges::sort(keys);
  SparsePlan plan;
  plan.add_input(grid);
  const SparsePlan::Use a = plan.add("conv2", 0, {.kernel = {3, 3, 3}, .stride = {2, 2, 2}, .padding = {1, 1, 1}}, "");
  const SparsePlan::Use b =
      plan.add("conv3", a.level, {.kernel = {3, 3, 3}, .stride = {2, 2, 2}, .padding = {1, 1, 1}}, "");
  const SparsePlan::Use c =
      plan.add("conv4", b.level, {.kernel = {3, 3, 3}, .stride = {2, 2, 2}, .padding = {0, 1, 1}}, "");
  const SparsePlan::Use d = plan.add("extra", c.level, {.kernel = {3, 1, 1}, .stride = {2, 1, 1}}, "");
  SparseGeometry geometry(plan);
  ThreadPool pool(2);
  geometry.build(keys, 1, pool);
  CHECK(geometry.rows(0) == 79745);
  CHECK(geometry.rows(a.level) == 69276);
  CHECK(geometry.rows(b.level) == 29723);
  CHECK(geometry.rows(c.level) == 10335);
  CHECK(geometry.rows(d.level) == 7658);
}
