// What the simple kernels share: one thread per output element, the contract's epilogue, windows without padding. These
// kernels take any view (strides, slices, NCHW); they are the ones that every shape can fall back to.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/kernel.h"
#include "kernels/cuda/ptx.cuh"
#include "runtime/arithmetic.h"

namespace octet::kernels::cuda {

constexpr int kThreads = 256;

// Launches a kernel that begins with begin(): from sm_90 on its blocks may take their places while the kernel before it
// still runs, which hides most of a launch.
// `shared`: bytes of dynamic shared memory.
template <class... Parameters, class... Arguments>
static int start_with_shared(void (*kernel)(Parameters...), dim3 blocks, int threads, std::size_t shared,
                             const Launch& launch, const Arguments&... arguments) {
  cudaLaunchAttribute overlap;
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = blocks;
  config.blockDim = static_cast<unsigned>(threads);
  config.dynamicSmemBytes = shared;
  config.stream = launch.stream;
  config.attrs = &overlap;
  config.numAttrs = launch.gpu->major >= 9 ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

template <class... Parameters, class... Arguments>
static int start(void (*kernel)(Parameters...), dim3 blocks, int threads, const Launch& launch,
                 const Arguments&... arguments) {
  return start_with_shared(kernel, blocks, threads, 0, launch, arguments...);
}

// Waits for the activations that the kernel before this one makes, and lets the next one come. Constants (weights,
// tables) may be read before it.
__device__ static inline void begin() {
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
}

// Consecutive threads take consecutive channels; blockIdx.y is the image.
template <class Operation>
__global__ void __launch_bounds__(kThreads) elementwise(View out, Operation operation) {
  begin();
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  const unsigned per_row = static_cast<unsigned>(out.w) * out.c;
  if (i >= static_cast<unsigned>(out.h) * per_row) return;
  const unsigned y = i / per_row, in_row = i % per_row;
  operation(static_cast<int>(blockIdx.y), static_cast<int>(y), static_cast<int>(in_row / out.c),
            static_cast<int>(in_row % out.c));
}

template <class Operation>
static int launch_elementwise(const View& out, const Operation& operation, const Launch& launch) {
  const std::int64_t per_image = std::int64_t{out.h} * out.w * out.c;
  if (per_image >= INT32_MAX - kThreads || out.n > 65535) return cudaErrorInvalidConfiguration;
  const dim3 blocks(static_cast<unsigned>((per_image + kThreads - 1) / kThreads), static_cast<unsigned>(out.n));
  return start(elementwise<Operation>, blocks, kThreads, launch, out, operation);
}

// One element of an 8-bit activation of either signedness; storing takes the low byte.
__device__ static inline int load8(const View& v, int n, int y, int x, int c) {
  const std::uint8_t byte = *v.at<std::uint8_t>(n, y, x, c);
  return v.type == DType::u8 ? byte : static_cast<std::int8_t>(byte);
}
__device__ static inline void store8(const View& v, int n, int y, int x, int c, int q) {
  *v.at<std::uint8_t>(n, y, x, c) = static_cast<std::uint8_t>(q);
}

// From an integer layer's accumulator (bias included) to what is stored.
__device__ static inline void store(const View& out, const Epilogue& e, int n, int y, int x, int c, std::int32_t acc) {
  switch (e.form) {
    case Epilogue::Form::one_multiply:
      return store8(out, n, y, x, c, arithmetic::requantise(acc, e.multiplier[c], e.lo, e.hi, e.zero));
    case Epilogue::Form::notebook:
      return store8(out, n, y, x, c, arithmetic::requantise_notebook(acc, e.scale_out, e.multiplier[c], e.lo, e.hi));
    case Epilogue::Form::real:
      *out.at<float>(n, y, x, c) = static_cast<float>(acc) * e.multiplier[c];
  }
}

// Calls visit(y, x) for every element of the window of output (oy, ox) that is not padding.
template <class Visit>
__device__ static inline void for_window(const View& in, const Window& w, int oy, int ox, Visit visit) {
  for (int ky = 0; ky < w.kernel_h; ++ky) {
    const int y = oy * w.stride_h - w.pad_top + ky * w.dilation_h;
    if (y < 0 || y >= in.h) continue;
    for (int kx = 0; kx < w.kernel_w; ++kx) {
      const int x = ox * w.stride_w - w.pad_left + kx * w.dilation_w;
      if (x >= 0 && x < in.w) visit(y, x);
    }
  }
}

// How many elements an average over (oy, ox) counts. With padding included, a window that ceil_mode lets hang over the
// padded edge is cut there, as in PyTorch. Dilation is 1 for average pools.
__device__ static inline int window_count(const View& in, const PoolParams& p, int oy, int ox) {
  const Window& w = p.window;
  const int top = oy * w.stride_h - w.pad_top, left = ox * w.stride_w - w.pad_left;
  if (p.count_include_pad) {
    return (min(top + w.kernel_h, in.h + w.pad_bottom) - top) * (min(left + w.kernel_w, in.w + w.pad_right) - left);
  }
  return (min(top + w.kernel_h, in.h) - max(top, 0)) * (min(left + w.kernel_w, in.w) - max(left, 0));
}

}  // namespace octet::kernels::cuda
