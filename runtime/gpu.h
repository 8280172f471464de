// Gpu: what planning and launching need to know about one CUDA device. Plain: .cu files include it. A Gpu may also
// describe a device that is not here: a network can be planned for it (and the plan looked at) on any machine.
#pragma once

#include <cstddef>

namespace octet {

struct Gpu {
  char name[96] = "";
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  std::size_t shared_per_block = 0;  // bytes of shared memory that one block may ask for (opt-in limit)
  std::size_t shared_per_multiprocessor = 0;
  std::size_t l2_bytes = 0;
  std::size_t memory_bytes = 0;  // of the whole device

  constexpr int capability() const { return 10 * major + minor; }  // 90 for an H200
};

}  // namespace octet
