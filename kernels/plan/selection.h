// Selection: the kernel that planning chose for a step, of whichever device. The planner asks it questions and need not
// know the device.
#pragma once

#include <string>
#include <string_view>

#include "kernels/cuda/registry.h"
#include "kernels/plan/plan.h"
#include "kernels/registry.h"

namespace octet::kernels {

struct Selection {
  const Kernel* cpu = nullptr;  // one of the two is set, or none
  const cuda::Kernel* gpu = nullptr;
  int config = 0;    // gpu: the launch configuration
  Gpu device;        // gpu
  std::string note;  // why better kernels were not taken

  // Empty where there is no kernel: the step that says where a frame's sites are has none on the CPU.
  std::string_view op() const { return gpu != nullptr ? gpu->op : cpu != nullptr ? cpu->op : ""; }
  bool reads_halo() const { return cpu != nullptr && cpu->reads_halo; }
  bool fuses_max_pool() const { return gpu != nullptr ? gpu->fuses_max_pool : cpu->fuses_max_pool; }
  bool fuses_add() const { return cpu != nullptr && cpu->fuses_add; }

  // Sets the step's variant, note and functions.
  void put_into(Step& step) const;
  // With the final views. packed_bytes and pack only for steps with weights; scratch_bytes is 0 where none is needed.
  std::size_t packed_bytes(const StepArgs& args) const;
  void pack(const StepArgs& args, const void* weights, void* packed) const;
  std::size_t scratch_bytes(const StepArgs& args) const;
};

// The best kernel of `op` for the device of `options`. Throws Error when there is none.
Selection select(std::string_view op, const PlanOptions& options, const StepArgs& args);

// Says what the pointers of a step's params point to, so that they can be put into a device's memory. The step's params
// are complete: weights packed.
void describe_constants(std::string_view op, Step& step, const StepArgs& args);

}  // namespace octet::kernels
