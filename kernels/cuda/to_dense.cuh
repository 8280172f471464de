// The definition of to_dense on a GPU: sites to a dense map of C * Z channels, channel c * Z + z, with `fill` where no
// site is. A block makes a strip of kStrip pixels of one row of one image: it finds the strip's sites of every z among
// the ascending keys by bisection, notes their rows in shared memory, and writes the strip once, whole.
#pragma once

#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {

constexpr int kStrip = 32, kMostLevels = 256;

__device__ static inline std::int64_t key_at(const View& keys, int row) { return *keys.at<std::int64_t>(0, 0, row); }

// The first of `count` keys that is at least `key`.
__device__ static inline int lower_bound(const View& keys, int count, std::int64_t key) {
  int first = 0, last = count;
  while (first < last) {
    const int middle = (first + last) / 2;
    if (key_at(keys, middle) < key) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    scatter(View in, View keys, const std::int32_t* rows, View out, ToDenseParams p) {
  auto* const row_at = reinterpret_cast<std::int32_t*>(ptx::dynamic_shared());  // [depth][kStrip]
  begin();
  const int count = rows == nullptr ? keys.w : min(*rows, keys.w);
  const int x0 = blockIdx.x * kStrip, y = blockIdx.y, n = blockIdx.z, width = min(kStrip, out.w - x0);
  for (int i = threadIdx.x; i < p.depth * kStrip; i += kThreads) row_at[i] = -1;
  __syncthreads();
  for (int z = threadIdx.x; z < p.depth; z += kThreads) {
    const std::int64_t key = ((std::int64_t{n} * p.depth + z) * out.h + y) * out.w + x0;
    for (int i = lower_bound(keys, count, key); i < count && key_at(keys, i) < key + width; ++i) {
      row_at[z * kStrip + static_cast<int>(key_at(keys, i) - key)] = i;
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < width * out.c; i += kThreads) {
    const int x = i / out.c, channel = i - x * out.c, c = channel / p.depth, z = channel - c * p.depth;
    const int row = row_at[z * kStrip + x];
    *out.at<T>(n, y, x0 + x, channel) = row < 0 ? static_cast<T>(p.fill) : *in.at<T>(0, 0, row, c);
  }
}

template <class T>
static int launch_scatter(const StepArgs& args, const Launch& launch) {
  const auto& p = *static_cast<const ToDenseParams*>(args.params);
  const View &in = args.inputs[0], &keys = args.inputs[1], &out = args.output;
  if (out.h > 65535 || out.n > 65535) return cudaErrorInvalidConfiguration;
  const dim3 blocks(static_cast<unsigned>((out.w + kStrip - 1) / kStrip), static_cast<unsigned>(out.h),
                    static_cast<unsigned>(out.n));
  const auto shared = static_cast<std::size_t>(p.depth) * kStrip * sizeof(std::int32_t);
  return start_with_shared(scatter<T>, blocks, kThreads, shared, launch, in, keys, launch.rows, out, p);
}

static const char* refuse_scatter(const StepArgs& args, const Gpu&) {
  return static_cast<const ToDenseParams*>(args.params)->depth <= kMostLevels ? nullptr : "more than 256 levels of z";
}

}  // namespace octet::kernels::cuda
