// Constants: what a CUDA program's steps point to (packed weights, biases, multipliers, tables), uploaded once and
// shared by all of its Contexts.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "runtime/cuda/memory.h"
#include "runtime/program.h"

namespace octet::cuda {

class Constants {
 public:
  // Uploads on the first call; any thread may call it. Throws Error when there is not enough memory, and may then be
  // called again.
  void upload(const Program& program);
  // The step's params struct with device pointers in it. Host memory.
  const void* params(std::size_t step) const { return params_[step].data(); }
  std::size_t bytes() const { return memory_.size(); }

 private:
  std::mutex mutex_;
  bool uploaded_ = false;
  DeviceMemory memory_;
  std::vector<std::vector<std::byte>> params_;
};

}  // namespace octet::cuda
