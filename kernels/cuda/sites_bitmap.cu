// sites_bitmap: the sites of every level of a sparse network and all of its kernel maps, for one frame, from the keys
// of the input. Five kinds of kernels, none of which waits for the host:
//
//     index the input's keys -> for each further level: mark the cells that are reached, count, list -> all maps
//
// Nothing is sorted and nothing is probed: the bit of a cell is its place in the order of keys, and a cell's row is the
// rank of its word plus the bits before it in the word (runtime/site_index.h draws it).
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/sites.cuh"

namespace octet::kernels::cuda {
namespace {

using octet::cuda::SitesMap;
using octet::cuda::SitesTask;

constexpr int kMostMaps = 12;  // of one launch: a kernel's parameters are 4 KB

__device__ int rows_of(const std::int32_t* rows, int capacity) { return min(*rows, capacity); }

// --- the input's level: its keys are there
// ------------------------------------------------------------------------------------------

__global__ void __launch_bounds__(kThreads) index_keys(SitesLevel level) {
  begin();
  const int rows = rows_of(level.rows, level.capacity);
  for (int i = blockIdx.x * kThreads + threadIdx.x; i < rows; i += gridDim.x * kThreads) {
    const auto key = static_cast<std::uint32_t>(level.keys[i]);
    const bool first = i == 0 || static_cast<std::uint32_t>(level.keys[i - 1]) >> 6 != key >> 6;
    if (first) level.rank[key >> 6] = i;
    set_bit(level.bits, key);
  }
}

// --- levels that a convolution makes
// ------------------------------------------------------------------------------------------

// Where along one axis the taps of an input coordinate lead; `reach` returns whether tap k leads to an output.
struct Reach {
  int stride, dilation, scaled, outputs;
  __device__ Reach(const SitesWindow& w, int axis, int coordinate, int outputs_)
      : stride(w.stride[axis]), dilation(w.dilation[axis]), scaled(coordinate + w.padding[axis]), outputs(outputs_) {}
  __device__ bool reach(int tap, int& output) const {
    const int at = scaled - tap * dilation;
    output = at / stride;
    return at >= 0 && output * stride == at && output < outputs;
  }
};

struct MarkTask {
  SitesLevel from, to;
  Cells cells;  // of `from`
};

__global__ void __launch_bounds__(kThreads) mark_reached(const __grid_constant__ MarkTask t) {
  begin();
  const int rows = rows_of(t.from.rows, t.from.capacity);
  const SitesWindow& w = t.to.window;
  for (int i = blockIdx.x * kThreads + threadIdx.x; i < rows; i += gridDim.x * kThreads) {
    int batch, z, y, x;
    t.cells.split(static_cast<std::uint32_t>(t.from.keys[i]), batch, z, y, x);
    const Reach along_z(w, 0, z, t.to.size[0]), along_y(w, 1, y, t.to.size[1]), along_x(w, 2, x, t.to.size[2]);
    int oz, oy, ox;
    for (int kz = 0; kz < w.kernel[0]; ++kz) {
      if (!along_z.reach(kz, oz)) continue;
      for (int ky = 0; ky < w.kernel[1]; ++ky) {
        if (!along_y.reach(ky, oy)) continue;
        const int line = ((batch * t.to.size[0] + oz) * t.to.size[1] + oy) * t.to.size[2];
        for (int kx = 0; kx < w.kernel[2]; ++kx) {
          if (along_x.reach(kx, ox)) set_bit(t.to.bits, static_cast<std::uint32_t>(line + ox));
        }
      }
    }
  }
}

// --- all maps
// ------------------------------------------------------------------------------------------

struct MapTask {
  const std::uint64_t* bits;  // of the level that is read
  const std::int32_t* rank;
  const std::int64_t* keys;  // of the level that is written
  const std::int32_t* rows;
  std::int32_t* map;
  SitesWindow window;
  Cells cells;   // of the level that is written
  int size[3];   // of the level that is read
  int capacity;  // of the level that is written
  bool inverse;
};
struct MapTasks {
  MapTask tasks[kMostMaps];
  int count;
};

// The coordinate that is read through a tap, or -1.
__device__ int read_at(const MapTask& t, int axis, int coordinate, int tap) {
  const SitesWindow& w = t.window;
  int at;
  if (t.inverse) {
    const int scaled = coordinate + w.padding[axis] - tap * w.dilation[axis];
    at = scaled / w.stride[axis];
    if (scaled < 0 || at * w.stride[axis] != scaled) return -1;
  } else {
    at = coordinate * w.stride[axis] - w.padding[axis] + tap * w.dilation[axis];
  }
  return at >= 0 && at < t.size[axis] ? at : -1;
}

// The taps of one row of the kernel, `line` = kz * kernel_y + ky, for one output row. Neighbouring taps mostly lie in
// one word of the index.
__device__ void look_up(const MapTask& t, int line, int row) {
  int batch, z, y, x;
  t.cells.split(static_cast<std::uint32_t>(t.keys[row]), batch, z, y, x);
  const int kz = line / t.window.kernel[1], ky = line - kz * t.window.kernel[1];
  const int iz = read_at(t, 0, z, kz), iy = read_at(t, 1, y, ky);
  const int start = ((batch * t.size[0] + iz) * t.size[1] + iy) * t.size[2];
  std::int32_t* to = t.map + static_cast<std::int64_t>(line) * t.window.kernel[2] * t.capacity + row;
  Lookup index(t.bits, t.rank);
  for (int kx = 0; kx < t.window.kernel[2]; ++kx, to += t.capacity) {
    const int ix = iz < 0 || iy < 0 ? -1 : read_at(t, 2, x, kx);
    *to = ix < 0 ? -1 : index.row(static_cast<std::uint32_t>(start + ix));
  }
}

// The work of all maps as one line of tiles (a row of the kernel x kThreads output rows), dealt to the blocks.
__global__ void __launch_bounds__(kThreads) make_maps(const __grid_constant__ MapTasks all) {
  begin();
  int tile = blockIdx.x;
  for (int i = 0; i < all.count; ++i) {
    const MapTask& t = all.tasks[i];
    const int rows = rows_of(t.rows, t.capacity), across = (rows + kThreads - 1) / kThreads;
    const int tiles = across * t.window.kernel[0] * t.window.kernel[1];
    for (; tile < tiles; tile += gridDim.x) {
      const int line = tile / across, row = (tile - line * across) * kThreads + threadIdx.x;
      if (row < rows) look_up(t, line, row);
    }
    tile -= tiles;
  }
}

// --- launching
// ------------------------------------------------------------------------------------------

MapTask map_task(const SitesMap& m, const SitesLevel* levels) {
  const SitesLevel &from = levels[m.from], &to = levels[m.to];
  MapTask t{from.bits, from.rank, to.keys, to.rows, m.map, m.window, Cells(to), {}, to.capacity, m.inverse};
  for (int i = 0; i < 3; ++i) t.size[i] = from.size[i];
  return t;
}

int launch_maps(const SitesTask& task, const Launch& launch) {
  for (int first = 0; first < task.map_count; first += kMostMaps) {
    MapTasks tasks{};
    for (int i = first; i < task.map_count && tasks.count < kMostMaps; ++i)
      tasks.tasks[tasks.count++] = map_task(task.maps[i], task.levels);
    const int error = start(make_maps, persistent_blocks(launch), kThreads, launch, tasks);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

int launch(const StepArgs& args, const Launch& launch) {
  const auto& task = *static_cast<const SitesTask*>(args.params);
  const dim3 blocks = persistent_blocks(launch);
  int error = cudaSuccess;
  if (!task.indexed) {
    const std::size_t bytes = static_cast<std::size_t>(task.all_words) * sizeof(std::uint64_t);
    error = cudaMemsetAsync(task.all_bits, 0, bytes, launch.stream);
    if (error == cudaSuccess) error = start(index_keys, blocks, kThreads, launch, task.levels[0]);
  }
  for (int i = 1; i < task.level_count && error == cudaSuccess; ++i) {
    const SitesLevel &to = task.levels[i], &from = task.levels[to.from];
    error = start(mark_reached, blocks, kThreads, launch, MarkTask{from, to, Cells(from)});
    if (error == cudaSuccess) error = list_sites(to, launch);
  }
  return error == cudaSuccess ? launch_maps(task, launch) : error;
}

}  // namespace

extern const Kernel sites_bitmap;
const Kernel sites_bitmap = {.op = "sites", .name = "bitmap", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
