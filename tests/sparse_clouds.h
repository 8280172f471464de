// Random sets of sites, and brute force over them: everything by looking at every cell, nothing by an index.
#pragma once

#include <algorithm>
#include <map>
#include <set>

#include "runtime/sparse_plan.h"
#include "tests/random_graph.h"

namespace octet::test {

// About `share` of the cells; whole runs along x as often as single cells, as surfaces are.
inline std::vector<std::int64_t> random_sites(Random& random, const SparseGrid& grid, int batch, double share) {
  std::set<std::int64_t> keys;
  const std::int64_t cells = grid.cells() * batch;
  const auto wanted = static_cast<std::size_t>(static_cast<double>(cells) * share);
  while (keys.size() < wanted) {
    std::int64_t key = random.between(0, static_cast<int>(cells) - 1);
    for (int run = random.between(1, 4); run > 0 && key < cells; --run) keys.insert(key++);
  }
  return {keys.begin(), keys.end()};
}

inline SparseTensor random_sparse(Random& random, const SparseGrid& grid, int batch, int channels, double share,
                                  double scale = 2.0) {
  SparseTensor t{.grid = grid, .batch = batch, .keys = random_sites(random, grid, batch, share)};
  t.features = Tensor(DType::f32, Shape{t.rows(), channels});
  for (float& v : t.features.span<float>()) v = random.real(scale);
  return t;
}

// The cell that output cell `o` reads through tap (kz, ky, kx); a key, or -1 outside of the grid.
inline std::int64_t brute_input(const SparseGrid& from, const SparseWindow& w, const Cell& o, int kz, int ky, int kx) {
  const std::int64_t z = o.z * w.stride[0] - w.padding[0] + kz * w.dilation[0],
                     y = o.y * w.stride[1] - w.padding[1] + ky * w.dilation[1],
                     x = o.x * w.stride[2] - w.padding[2] + kx * w.dilation[2];
  if (z < 0 || z >= from.z || y < 0 || y >= from.y || x < 0 || x >= from.x) return -1;
  return ((o.batch * from.z + z) * from.y + y) * from.x + x;
}

// Every cell of `to` from which some tap reaches an active cell.
inline std::vector<std::int64_t> brute_sites(const std::vector<std::int64_t>& keys, const SparseGrid& from,
                                             const SparseGrid& to, int batch, const SparseWindow& w) {
  const std::set<std::int64_t> active(keys.begin(), keys.end());
  std::vector<std::int64_t> out;
  for (std::int64_t key = 0; key < to.cells() * batch; ++key) {
    bool any = false;
    const Cell o{key / to.cells(), key / (to.y * to.x) % to.z, key / to.x % to.y, key % to.x};
    for (int kz = 0; kz < w.kernel[0]; ++kz) {
      for (int ky = 0; ky < w.kernel[1]; ++ky) {
        for (int kx = 0; kx < w.kernel[2]; ++kx) any = any || active.contains(brute_input(from, w, o, kz, ky, kx));
      }
    }
    if (any) out.push_back(key);
  }
  return out;
}

// The kernel map, [taps][rows].
inline std::vector<std::int32_t> brute_map(const std::vector<std::int64_t>& keys, const SparseGrid& from,
                                           const std::vector<std::int64_t>& out, const SparseGrid& to,
                                           const SparseWindow& w) {
  std::map<std::int64_t, std::int32_t> rows;
  for (std::size_t i = 0; i < keys.size(); ++i) rows[keys[i]] = static_cast<std::int32_t>(i);
  std::vector<std::int32_t> map;
  for (int kz = 0; kz < w.kernel[0]; ++kz) {
    for (int ky = 0; ky < w.kernel[1]; ++ky) {
      for (int kx = 0; kx < w.kernel[2]; ++kx) {
        for (const std::int64_t key : out) {
          const Cell o{key / to.cells(), key / (to.y * to.x) % to.z, key / to.x % to.y, key % to.x};
          const auto found = rows.find(brute_input(from, w, o, kz, ky, kx));
          map.push_back(found == rows.end() ? -1 : found->second);
        }
      }
    }
  }
  return map;
}

}  // namespace octet::test
