// The CUDA kernels of this build, expanded from variants.def. A build without CUDA has none.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "kernels/cuda/kernel.h"

namespace octet::kernels::cuda {

// Every kernel, in the table's order.
std::span<const Kernel* const> all_kernels();
std::string name_of(const Kernel& kernel);  // conv2d_s8_direct
// Whether the device has the instructions.
bool supported(const Kernel& kernel, const Gpu& gpu);

struct Choice {
  const Kernel* kernel = nullptr;
  int config = 0;
  std::string note;  // why better kernels were not taken; empty when the best was
};
// The best kernel of `op` that the device can run and that does not refuse `args` (views without data; params set).
// OCTET_CUDA_KERNELS, a comma-separated list of names ("direct,mma"), allows only kernels so named, and those of
// operations that have none of these names: for comparing variants. Throws Error when there is none.
Choice choose(std::string_view op, const Gpu& gpu, const StepArgs& args);

}  // namespace octet::kernels::cuda
