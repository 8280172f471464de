// View: where one activation lives while a network runs. Plain, so that kernels of every instruction set and .cu files
// may include it.
//
//     element (n, y, x, c) is at  data + (n * stride_n + y * stride_h + x * stride_w + c * stride_c) * size_of(type)
//
// Inside a CPU program activations are NHWC: stride_c = 1 and stride_w >= c. stride_w > c where the view is one slice
// of a concatenation written in place. Rows and images may have a border (halo) around them: then (y, x) = (-1, -1) is
// inside the buffer and holds the zero point, which is how a padded convolution reads without bounds checks.
// Network inputs and outputs in host memory are NCHW views of the caller's tensor: same struct, other strides.
#pragma once

#include <cstddef>

#include "runtime/dtype.h"

#if defined(__CUDACC__)
#define OCTET_VIEW_HD __host__ __device__
#else
#define OCTET_VIEW_HD
#endif

namespace octet {

struct View {  // somebody else's memory
  // Kernels may read this many bytes past the last element of an 8-bit or f32 activation (never write, never use what
  // they find): a vector load need not stop at a run's end. Arenas end with as much slack.
  static constexpr int kReadableBeyond = 64;

  // (always_inline: this header is compiled for several instruction sets, and no shared copy may exist)
  std::byte* data = nullptr;
  DType type = DType::f32;
  std::int32_t n = 0, h = 1, w = 1, c = 1;
  std::int64_t stride_n = 0, stride_h = 0, stride_w = 0, stride_c = 1;  // in elements

  // The element's address; negative y and x reach into a border. Nothing is checked.
  template <class T>
  OCTET_VIEW_HD __attribute__((always_inline)) T* at(std::int64_t image, std::int64_t y, std::int64_t x,
                                                     std::int64_t channel = 0) const {
    return reinterpret_cast<T*>(data) + (image * stride_n + y * stride_h + x * stride_w + channel * stride_c);
  }
};

// What a step is run with. `params` points to the op's struct in kernels/params.h.
struct StepArgs {
  const View* inputs = nullptr;
  std::int32_t input_count = 0;
  View output;
  const void* params = nullptr;
  std::int32_t* fault = nullptr;  // set to non-zero by a kernel that met a NaN it must not quantise
};

// Runs tiles [first, last) of a step; any split over threads gives the same bytes. `scratch` is 64-byte aligned and
// belongs to this call alone.
using StepFunction = void (*)(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch);

}  // namespace octet
