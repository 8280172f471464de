// Sparse activations: a grid of cells of which few are active ("sites"), each with a vector of features. A LiDAR frame
// fills some 80,000 of the 85 million cells of CenterPoint's grid.
//
// A cell is named by one 64-bit key, batch and coordinates in row-major order:
//
//     key = ((b * Z + z) * Y + y) * X + x                       grids of 4096^3 and a batch beside them fit easily
//
// Sites are kept in ascending order of their keys, on every device and at every level of a network: row r of the
// features belongs to the r-th smallest key. So two runs, two machines or two numbers of threads cannot disagree about
// which row is which, and everything that is made from the sites (rulebook.h) is the same bytes everywhere.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/tensor.h"

namespace octet {

// The size of a grid, in cells. A flat (2D) grid has z = 1.
struct SparseGrid {
  std::int64_t z = 1, y = 1, x = 1;

  std::int64_t cells() const { return z * y * x; }
  // Of a cell inside of the grid; not checked.
  std::int64_t key(std::int64_t batch, std::int64_t iz, std::int64_t iy, std::int64_t ix) const {
    return ((batch * z + iz) * y + iy) * x + ix;
  }
  std::string str() const;  // "41x1440x1440"
  bool operator==(const SparseGrid&) const = default;
};

struct Cell {  // of one frame of a batch
  std::int64_t batch = 0, z = 0, y = 0, x = 0;
};
Cell cell_of(const SparseGrid& grid, std::int64_t key);  // the inverse of key()

// The geometry of a sparse convolution; triples are z, y, x. Output cell o and tap k read input cell
//
//     i = o * stride - padding + k * dilation            along each axis, where that lies inside of the input's grid
//
// and nothing where that cell is not active: an absent neighbour contributes a real 0. Which outputs are active:
//   - submanifold: exactly the input's sites (stride 1, odd kernel, centred: padding = dilation * (kernel - 1) / 2);
//   - otherwise: every cell that at least one active input reaches;
//   - inverse: the input sites of the convolution that it undoes, whose geometry is repeated here; the equation is read
//     backwards, each fine site i collecting from the coarse sites o that it once contributed to, through the same tap.
struct SparseWindow {
  using Triple = std::array<int, 3>;
  Triple kernel{1, 1, 1}, stride{1, 1, 1}, padding{0, 0, 0}, dilation{1, 1, 1};
  bool submanifold = false;
  bool inverse = false;
  SparseGrid restored;  // inverse: the grid that it goes back to

  std::int64_t taps() const { return std::int64_t{kernel[0]} * kernel[1] * kernel[2]; }  // in z, y, x order
  bool operator==(const SparseWindow&) const = default;
};

// The grid of a convolution's outputs. Throws Error, which begins with `name`, when the window makes no sense: kernel,
// stride and dilation are 1 to 255 and at most 4096 taps, the window must fit into the padded input, and a submanifold
// convolution is as said above.
SparseGrid output_grid(const std::string& name, const SparseGrid& in, const SparseWindow& window);

// What a sparse network is run with.
struct SparseTensor {
  SparseGrid grid;
  int batch = 1;
  std::vector<std::int64_t> keys;  // ascending, without duplicates
  Tensor features;                 // f32 [keys.size(), C]

  std::int64_t rows() const { return static_cast<std::int64_t>(keys.size()); }
};

// Throws Error unless keys ascend without duplicates and lie inside of the grid, features are [rows, channels] f32, and
// the grid is one that output_grid() would accept. No sites at all is fine.
void check(const SparseTensor& tensor);

// Limits of a grid: 2^40 cells in all (4096^3 is 2^36), counted with the batch.
void check(const std::string& name, const SparseGrid& grid, std::int64_t batch = 1);

}  // namespace octet
