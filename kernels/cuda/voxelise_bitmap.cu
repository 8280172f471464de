// voxelise_bitmap: points to voxels, without sorting the points. The bits of the cells that are hit are the keys in
// ascending order (sites.cuh); a voxel's points are counted, listed, and only they are sorted among each other:
//
//     key of each point, bit of its cell -> rank -> points of each voxel -> room for its list -> the list -> the mean
//
// The lists are made in whatever order threads come, and where a voxel's list lies depends on that too; the means do
// not, since each list is sorted by the points' features. A warp makes one mean.
#include "kernels/cuda/sites.cuh"
#include "runtime/cuda/voxels.h"

namespace octet::kernels::cuda {
namespace {

using octet::cuda::VoxelTask;

constexpr unsigned kAll = 0xFFFFFFFF;

__global__ void __launch_bounds__(kThreads) clear_tally(VoxelTask t) {
  begin();
  for (int i = blockIdx.x * kThreads + threadIdx.x; i < t.level.capacity; i += gridDim.x * kThreads) t.count[i] = 0;
  if (blockIdx.x == 0 && threadIdx.x == 0) *t.used = 0, *t.tally = {};
}

__device__ int cloud_of(const VoxelTask& t, int point) {
  int cloud = 0;
  while (cloud + 1 < t.batch && point >= t.first[cloud + 1]) ++cloud;
  return cloud;
}

// One addition for all threads of the warp that `hit`.
__device__ void tally(std::int32_t* sum, bool hit) {
  const unsigned all = __ballot_sync(kAll, hit);
  if (threadIdx.x % 32 == 0 && all != 0) atomicAdd(sum, __popc(all));
}

// The cell of a point, by kernels/voxelise.h's rule; IEEE in double, so that every device agrees.
__device__ std::int32_t key_of(const VoxelTask& t, int point, bool& finite, bool& inside) {
  const float* p = t.points + static_cast<std::int64_t>(point) * t.features;
  float poison = 0;  // 0, or NaN from the first NaN or infinity on
  for (int f = 0; f < t.features; ++f) poison += p[f] * 0.0f;
  double at[3];
  finite = poison == 0.0f, inside = true;
  for (int i = 0; i < 3; ++i) {
    at[i] = (static_cast<double>(p[i]) - t.low[i]) / t.size[i];
    inside = inside && at[i] > 0 && at[i] < static_cast<double>(t.filled[i]);
  }
  if (!finite || !inside) return -1;
  const int z = cloud_of(t, point) * t.level.size[0] + static_cast<int>(at[2]);
  return (z * t.level.size[1] + static_cast<int>(at[1])) * t.level.size[2] + static_cast<int>(at[0]);
}

__global__ void __launch_bounds__(kThreads) find_cells(const __grid_constant__ VoxelTask t) {
  begin();
  const int points = min(t.first[t.batch], t.capacity);
  for (int start = blockIdx.x * kThreads; start < points; start += gridDim.x * kThreads) {
    const int i = start + static_cast<int>(threadIdx.x);
    bool finite = true, inside = true;
    if (i < points) {
      const std::int32_t key = key_of(t, i, finite, inside);
      t.key_of[i] = key;
      if (key >= 0) set_bit(t.level.bits, static_cast<std::uint32_t>(key));
    }
    tally(&t.tally->not_finite, !finite);
    tally(&t.tally->out_of_range, finite && !inside);
  }
}

// Behind the ranking: keys become rows, and the voxels beyond max_voxels (those with the largest keys) lose their bits.
// Whether a thread still sees the bit of such a voxel, or of one before it, makes no difference: its row is beyond too.
__global__ void __launch_bounds__(kThreads) count_points(const __grid_constant__ VoxelTask t) {
  begin();
  const int points = min(t.first[t.batch], t.capacity);
  const int most = t.max_voxels > 0 ? min(t.max_voxels, t.level.capacity) : t.level.capacity;
  for (int i = blockIdx.x * kThreads + threadIdx.x; i < points; i += gridDim.x * kThreads) {
    const std::int32_t key = t.key_of[i];
    if (key < 0) continue;
    const int row = Lookup(t.level.bits, t.level.rank).row(static_cast<std::uint32_t>(key));
    if (row >= 0 && row < most) {
      t.key_of[i] = row;
      atomicAdd(t.count + row, 1);
      continue;
    }
    t.key_of[i] = -1;
    atomicAnd(reinterpret_cast<std::uint32_t*>(t.level.bits) + (key >> 5), ~(1u << (key & 31)));
  }
}

__device__ int voxels_of(const VoxelTask& t) {
  const int made = min(t.tally->voxels, t.level.capacity);
  return t.max_voxels > 0 ? min(made, t.max_voxels) : made;
}

// Each block of voxels takes room for its lists at once.
__global__ void __launch_bounds__(kThreads) make_room(const __grid_constant__ VoxelTask t) {
  begin();
  __shared__ int first;
  const int voxels = voxels_of(t);
  for (int start = blockIdx.x * kThreads; start < voxels; start += gridDim.x * kThreads) {
    const int row = start + static_cast<int>(threadIdx.x);
    const int count = row < voxels ? t.count[row] : 0;
    int total;
    const int before = sum_before(count, total);
    if (threadIdx.x == 0) first = atomicAdd(t.used, total);
    __syncthreads();
    if (row < voxels) t.start[row] = first + before, t.count[row] = 0;  // counted again while listing
    __syncthreads();
  }
  // How many there are after max_voxels; while listing, nobody reads it.
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    const int made = t.tally->voxels;
    *t.level.rows = t.max_voxels > 0 ? min(made, t.max_voxels) : made;
  }
}

__global__ void __launch_bounds__(kThreads) list_points(const __grid_constant__ VoxelTask t) {
  begin();
  const int points = min(t.first[t.batch], t.capacity);
  for (int i = blockIdx.x * kThreads + threadIdx.x; i < points; i += gridDim.x * kThreads) {
    const int row = t.key_of[i];
    if (row >= 0) t.listed[t.start[row] + atomicAdd(t.count + row, 1)] = i;
  }
}

__device__ const float* point_at(const VoxelTask& t, int point) {
  return t.points + static_cast<std::int64_t>(point) * t.features;
}

// Whether point `a` comes before `b`, whose first features are the bits given: by their features' bits, then by place.
__device__ bool before(const VoxelTask& t, int a, std::uint32_t a_bits, int a_place, int b, std::uint32_t b_bits,
                       int b_place) {
  if (a_bits != b_bits) return a_bits < b_bits;
  if (a_place == b_place) return false;
  const float *pa = point_at(t, a), *pb = point_at(t, b);
  for (int f = 1; f < t.features; ++f) {
    const std::uint32_t fa = __float_as_uint(pa[f]), fb = __float_as_uint(pb[f]);
    if (fa != fb) return fa < fb;
  }
  return a_place < b_place;  // equal points are interchangeable
}

// A warp puts the first `kept` points of one voxel in order.
__device__ void sort_points(const VoxelTask& t, const std::int32_t* listed, std::int32_t* sorted, int count, int kept) {
  const int lane = threadIdx.x % 32;
  for (int own = lane; own < (count + 31) / 32 * 32; own += 32) {
    const int point = own < count ? listed[own] : 0;
    const std::uint32_t bits = __float_as_uint(point_at(t, point)[0]);
    int rank = 0;
    for (int first = 0; first < count; first += 32) {
      const int theirs = first + lane < count ? listed[first + lane] : 0;
      const std::uint32_t their_bits = __float_as_uint(point_at(t, theirs)[0]);
      for (int j = 0; j < min(32, count - first); ++j) {
        const int other = __shfl_sync(kAll, theirs, j);
        const std::uint32_t other_bits = __shfl_sync(kAll, their_bits, j);
        rank += before(t, other, other_bits, first + j, point, bits, own);
      }
    }
    if (own < count && rank < kept) sorted[rank] = point;
  }
  __syncwarp();
}

__global__ void __launch_bounds__(kThreads) make_means(const __grid_constant__ VoxelTask t) {
  begin();
  const int lane = threadIdx.x % 32, voxels = voxels_of(t);
  for (int row = (blockIdx.x * kThreads + threadIdx.x) / 32; row < voxels; row += gridDim.x * kThreads / 32) {
    const int count = t.count[row], kept = min(count, t.max_points);
    const std::int32_t* points = t.listed + t.start[row];
    if (count > 1) {
      sort_points(t, points, t.sorted + t.start[row], count, kept);
      points = t.sorted + t.start[row];
    }
    for (int f = lane; f < t.features; f += 32) {
      float sum = point_at(t, points[0])[f];
      for (int i = 1; i < kept; ++i) sum += point_at(t, points[i])[f];
      t.means[static_cast<std::int64_t>(row) * t.features + f] = sum / static_cast<float>(kept);
    }
    if (lane == 0 && count > kept) atomicAdd(&t.tally->beyond_max, count - kept);
  }
}

int launch(const StepArgs& args, const Launch& launch) {
  const auto& t = *static_cast<const VoxelTask*>(args.params);
  const dim3 blocks = persistent_blocks(launch);
  const std::size_t bytes = static_cast<std::size_t>(t.all_words) * sizeof(std::uint64_t);
  SitesLevel level = t.level;
  level.rows = &t.tally->voxels;  // all of them; make_room() says how many stay
  int error = cudaMemsetAsync(t.all_bits, 0, bytes, launch.stream);
  const auto then = [&](auto kernel) {
    if (error == cudaSuccess) error = start(kernel, blocks, kThreads, launch, t);
  };
  then(clear_tally);
  then(find_cells);
  if (error == cudaSuccess) error = list_sites(level, launch);
  then(count_points);
  then(make_room);
  then(list_points);
  then(make_means);
  return error;
}

}  // namespace

extern const Kernel voxelise_bitmap;
const Kernel voxelise_bitmap = {.op = "voxelise", .name = "bitmap", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
