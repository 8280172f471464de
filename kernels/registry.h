// The kernels of this build, expanded from variants.def.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "kernels/isa.h"
#include "kernels/kernel.h"

namespace octet::kernels {

// Every kernel, in the table's order.
std::span<const Kernel* const> all_kernels();
std::string name_of(const Kernel& kernel);  // conv2d_s8_portable
Isa isa_of(const Kernel& kernel);

struct Choice {  // of choose(): what runs, and why not something faster
  const Kernel* kernel = nullptr;
  std::string note;  // why faster kernels of this level were not taken; empty when the fastest was
};
// The fastest kernel of `op` within `level` that does not refuse `args` (views without data; params set).
// Throws Error when there is none.
Choice choose(std::string_view op, Isa level, const StepArgs& args);

}  // namespace octet::kernels
