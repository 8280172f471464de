// cuda::Kernel: one variant of one operation on a CUDA device, as plain data; the counterpart of kernels/kernel.h. A
// row OCTET_CUDA_VARIANT(conv2d_s8, direct) of variants.def is the file kernels/cuda/conv2d_s8_direct.cu, which defines
//     extern const Kernel conv2d_s8_direct;
// A step gets the same StepArgs as on the CPU, with device pointers in its views; `params` is the same struct of
// kernels/params.h in HOST memory (pass it to the __global__ function by value) whose own pointers (weights, bias,
// multiplier, table) are device pointers. layout.h says how the views lie.
//
// Plain: no CUDA header, so that planning, tests and tools include it where there is no CUDA at all.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/params.h"
#include "runtime/gpu.h"
#include "runtime/view.h"

namespace octet::kernels::cuda {

using Launch = GpuLaunch;

struct Kernel {
  const char* op;    // "conv2d_s8"
  const char* name;  // "direct"; unique within the operation
  // The lowest compute capability (10 * major + minor) and, for instructions of one generation alone (wgmma: sm_90a),
  // the highest.
  int lowest_capability = 75;
  int highest_capability = 9999;
  // nullptr when this kernel can run the step; otherwise the reason, which `octet plan` shows. Never null itself. The
  // views have no data, but the strides and alignment of layout.h.
  const char* (*refuse)(const StepArgs& args, const Gpu& gpu);
  // Starts the step on launch.stream. Returns cudaSuccess (0) or another cudaError_t.
  LaunchFunction launch;

  // The launch configuration (tile shape, split-K, ...) for this step: a small number whose meaning is the kernel's
  // own. A pure function of its arguments: the plan shows it and two machines with the same device agree. Null: always
  // 0.
  int (*configure)(const StepArgs& args, const Gpu& gpu) = nullptr;
  // A short text for the plan: "128x64x64, 4 stages". Null when there is nothing to say.
  const char* (*describe)(int config) = nullptr;
  // How many configurations there are, all of which tests and the harness try; configure() answers less than this.
  int configurations = 1;
  // Whether `config` can run a step that refuse() accepts. Null: all can.
  bool (*allows)(const StepArgs& args, const Gpu& gpu, int config) = nullptr;

  // Only for kernels with weights: pack() runs on the host and writes packed_bytes() bytes from weights in PyTorch's
  // order [O, C/g, kh, kw] (linear: columns in the input view's (h, w, c) order).
  std::size_t (*packed_bytes)(const StepArgs& args, int config) = nullptr;
  void (*pack)(const StepArgs& args, int config, const void* weights, void* packed) = nullptr;
  std::size_t (*workspace_bytes)(const StepArgs& args, const Gpu& gpu, int config) = nullptr;  // null means none
  // Can apply a 2x2 max-pool of stride 2 to its result before storing it (ConvParams::fused_max_pool).
  bool fuses_max_pool = false;
};

// Any step is accepted: the usual refuse().
[[maybe_unused]] static inline const char* accept(const StepArgs&, const Gpu&) { return nullptr; }

}  // namespace octet::kernels::cuda
