// Gpu: what planning and launching need to know about one CUDA device. Plain: .cu files include it. A Gpu may also
// describe a device that is not here: a network can be planned for it (and the plan looked at) on any machine.
#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;  // cudaStream_t is a pointer to it

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

// Where and with what a step of a CUDA program runs.
struct GpuLaunch {
  CUstream_st* stream = nullptr;  // may be capturing: no synchronisation, no allocation, no query of the stream
  const Gpu* gpu = nullptr;
  void* workspace = nullptr;  // as much device memory as the step asked for, 256-byte aligned, contents undefined
  int config = 0;             // the kernel's own launch configuration, chosen when the step was planned
  // Steps over sites: how many rows (w) of the output are in use, on the device; views then say how many there is room
  // for. Null: all of them.
  const std::int32_t* rows = nullptr;
};

// Starts a step; returns cudaSuccess (0) or another cudaError_t. StepArgs hold device pointers.
struct StepArgs;
using LaunchFunction = int (*)(const StepArgs& args, const GpuLaunch& launch);

}  // namespace octet
