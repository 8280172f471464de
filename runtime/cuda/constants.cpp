#ifdef OCTET_HAS_CUDA
#include "runtime/cuda/constants.h"

#include <cstring>

namespace octet::cuda {
namespace {

constexpr std::size_t kAlignment = 256;  // what cudaMalloc promises: each constant has it too

std::size_t aligned(std::size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

void Constants::upload(const Program& program) {
  const std::lock_guard lock(mutex_);
  if (uploaded_) return;
  std::size_t size = 0;
  for (const Step& step : program.steps) {
    for (const Constant& c : step.constants) size += aligned(c.bytes);
  }
  DeviceMemory memory = allocate_device(size, "the weights of " + program.graph.name);
  // One copy: assembled in host memory first.
  std::vector<std::byte> image(size);
  std::vector<std::vector<std::byte>> params;
  std::size_t offset = 0;
  for (const Step& step : program.steps) {
    std::vector<std::byte>& patched = params.emplace_back(step.params_bytes);
    if (step.params_bytes > 0) std::memcpy(patched.data(), step.params.get(), step.params_bytes);
    for (const Constant& c : step.constants) {
      std::memcpy(image.data() + offset, c.data, c.bytes);
      const std::byte* address = memory.data() + offset;
      std::memcpy(patched.data() + c.field, &address, sizeof address);
      offset += aligned(c.bytes);
    }
  }
  if (size > 0) check(cudaMemcpy(memory.data(), image.data(), size, cudaMemcpyHostToDevice), "uploading weights");
  check(cudaStreamSynchronize(nullptr), "uploading weights");  // a copy of pageable memory may return before it is done
  memory_ = std::move(memory);
  params_ = std::move(params);
  uploaded_ = true;
}

std::shared_ptr<Constants> make_constants() { return std::make_shared<Constants>(); }

}  // namespace octet::cuda

#else

#include "runtime/program.h"

namespace octet::cuda {
class Constants {};
std::shared_ptr<Constants> make_constants() { return nullptr; }
}  // namespace octet::cuda

#endif
