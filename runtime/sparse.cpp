#include "runtime/sparse.h"

#include <algorithm>
#include <limits>

#include "runtime/error.h"

namespace octet {
namespace {

constexpr std::int64_t kMostCells = std::int64_t{1} << 40;
constexpr int kLongest = 255;  // of a window's numbers
constexpr std::int64_t kMostTaps = 4096;
constexpr const char* kAxes = "zyx";

std::int64_t along(const SparseGrid& grid, int axis) { return axis == 0 ? grid.z : axis == 1 ? grid.y : grid.x; }

std::int64_t outputs_along(const std::string& name, std::int64_t in, const SparseWindow& w, std::size_t axis) {
  const int kernel = w.kernel[axis], stride = w.stride[axis], padding = w.padding[axis], dilation = w.dilation[axis];
  const auto sensible = [](int value) { return value >= 1 && value <= kLongest; };
  require(sensible(kernel) && sensible(stride) && sensible(dilation) && padding >= 0 && padding <= kLongest * kLongest,
          "{}: kernel {}, stride {}, padding {}, dilation {} along {}: 1 to {} were expected, and padding >= 0", name,
          kernel, stride, padding, dilation, kAxes[axis], kLongest);
  if (w.submanifold) {
    require(stride == 1 && kernel % 2 == 1 && padding == dilation * (kernel - 1) / 2,
            "{}: a submanifold convolution has stride 1, an odd kernel and is centred; along {} it has stride {}, "
            "kernel {}, padding {}, dilation {}",
            name, kAxes[axis], stride, kernel, padding, dilation);
    return in;
  }
  const std::int64_t room = in + 2 * padding - (std::int64_t{dilation} * (kernel - 1) + 1);
  require(room >= 0, "{}: a window of {} cells does not fit into {} of {} with a padding of {}", name,
          std::int64_t{dilation} * (kernel - 1) + 1, in, kAxes[axis], padding);
  return room / stride + 1;
}

}  // namespace

std::string SparseGrid::str() const { return fmt::format("{}x{}x{}", z, y, x); }

Cell cell_of(const SparseGrid& grid, std::int64_t key) {
  Cell cell;
  cell.x = key % grid.x, key /= grid.x;
  cell.y = key % grid.y, key /= grid.y;
  cell.z = key % grid.z, cell.batch = key / grid.z;
  return cell;
}

SparseGrid output_grid(const std::string& name, const SparseGrid& in, const SparseWindow& window) {
  require(window.taps() <= kMostTaps, "{}: a kernel of {} taps: at most {} are supported", name, window.taps(),
          kMostTaps);
  SparseGrid out;
  out.z = outputs_along(name, along(in, 0), window, 0);
  out.y = outputs_along(name, along(in, 1), window, 1);
  out.x = outputs_along(name, along(in, 2), window, 2);
  return out;
}

void check(const std::string& name, const SparseGrid& grid, std::int64_t batch) {
  const auto sensible = [](std::int64_t size) { return size >= 1 && size <= kMostCells; };
  require(sensible(grid.z) && sensible(grid.y) && sensible(grid.x) && sensible(batch),
          "{}: a grid of {} and a batch of {}: 1 to {} were expected", name, grid.str(), batch, kMostCells);
  std::int64_t room = kMostCells;  // divided, not multiplied: nothing can overflow
  for (const std::int64_t size : {grid.z, grid.y, grid.x, batch}) room /= size;
  require(room >= 1, "{}: a grid of {} and a batch of {} have more than 2^40 cells", name, grid.str(), batch);
}

void check(const SparseTensor& tensor) {
  const std::string name = "sparse tensor";
  check(name, tensor.grid, tensor.batch);
  require(tensor.keys.size() <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()),
          "{}: {} sites: fewer than 2^31 were expected", name, tensor.keys.size());
  const std::int64_t end = tensor.grid.cells() * tensor.batch;
  std::int64_t previous = -1;
  for (std::size_t i = 0; i < tensor.keys.size(); ++i) {
    const std::int64_t key = tensor.keys[i];
    if (key > previous && key < end) {  // (a require() would make its words for every site of every frame)
      previous = key;
      continue;
    }
    require(key >= 0 && key < end, "{}: key {} of site {} lies outside of the grid {} with a batch of {}", name, key, i,
            tensor.grid.str(), tensor.batch);
    fail("{}: key {} of site {} {} the one before it; ascending keys were expected", name, key, i,
         key == previous ? "repeats" : "is below");
  }
  const Tensor& f = tensor.features;
  require(f.dtype() == DType::f32 && f.shape().rank() == 2 && f.shape()[0] == tensor.rows() && !f.empty(),
          "{}: features are {} {}; f32 [{}, channels] were expected", name, name_of(f.dtype()), f.shape().str(),
          tensor.rows());
}

}  // namespace octet
