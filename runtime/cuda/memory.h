// CUDA's resources as objects that free themselves: device memory, pinned host memory, a stream, an instantiated graph.
// Every call is checked; a failure is an Error that says what was being done. Only builds with CUDA have this.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

namespace octet::cuda {

// Throws Error "CUDA: <doing>: <what the runtime says>" unless `error` is cudaSuccess. An error that has ended the
// device's context (an illegal address, a device that fell off the bus) is said to be final for this process.
void check(cudaError_t error, std::string_view doing);

struct FreeDevice {
  void operator()(void* pointer) const { cudaFree(pointer); }
};
struct FreePinned {
  void operator()(void* pointer) const { cudaFreeHost(pointer); }
};

// A piece of memory, 256-byte aligned. Empty when size is 0.
template <class Free>
class Memory {
 public:
  Memory() = default;
  Memory(void* pointer, std::size_t size) : pointer_(static_cast<std::byte*>(pointer)), size_(size) {}
  std::byte* data() const { return pointer_.get(); }
  std::size_t size() const { return size_; }

 private:
  std::unique_ptr<std::byte, Free> pointer_;
  std::size_t size_ = 0;
};
using DeviceMemory = Memory<FreeDevice>;
using PinnedMemory = Memory<FreePinned>;

// `what` names it in the Error when there is not enough: "the activations of catdog for a batch of 256". Zero-filled.
DeviceMemory allocate_device(std::size_t size, std::string_view what);
PinnedMemory allocate_pinned(std::size_t size, std::string_view what);

class Stream {
 public:
  Stream();  // does not synchronise with the default stream
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }
  void synchronise(std::string_view doing) const;

 private:
  cudaStream_t stream_ = nullptr;
};

// What `record` puts on the stream, as one thing to launch. An exception of `record` ends the capture and passes on.
class LaunchGraph {
 public:
  LaunchGraph(const Stream& stream, const std::function<void()>& record);
  ~LaunchGraph();
  LaunchGraph(const LaunchGraph&) = delete;
  LaunchGraph& operator=(const LaunchGraph&) = delete;

  void launch(const Stream& stream) const;
  // Lets the copy into device memory `to` read from `from` in the launches to come.
  void read_from(const void* from, void* to, std::size_t size);

 private:
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t exec_ = nullptr;
};

}  // namespace octet::cuda
