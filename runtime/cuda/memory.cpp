#ifdef OCTET_HAS_CUDA
#include "runtime/cuda/memory.h"

#include <vector>

#include "runtime/error.h"

namespace octet::cuda {
namespace {

// Errors after which every further call in this process fails.
bool is_final(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorDevicesUnavailable:
    case cudaErrorUnknown:
      return true;
    default:
      return false;
  }
}

}  // namespace

void check(cudaError_t error, std::string_view doing) {
  if (error == cudaSuccess) return;
  (void)cudaGetLastError();  // a failure that is not final does not linger
  fail("CUDA: {}: {} ({}){}", doing, cudaGetErrorString(error), cudaGetErrorName(error),
       is_final(error) ? "; the device is lost to this process, --device cpu still works" : "");
}

DeviceMemory allocate_device(std::size_t size, std::string_view what) {
  if (size == 0) return {};
  void* pointer = nullptr;
  const cudaError_t error = cudaMalloc(&pointer, size);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    std::size_t free = 0, total = 0;
    (void)cudaMemGetInfo(&free, &total);
    fail("CUDA: {} need {} bytes of device memory; {} of {} are free", what, size, free, total);
  }
  check(error, "device memory");
  DeviceMemory memory(pointer, size);
  check(cudaMemset(pointer, 0, size), "clearing device memory");
  check(cudaStreamSynchronize(nullptr), "clearing device memory");  // our streams do not wait for the default one
  return memory;
}

PinnedMemory allocate_pinned(std::size_t size, std::string_view what) {
  if (size == 0) return {};
  void* pointer = nullptr;
  const cudaError_t error = cudaHostAlloc(&pointer, size, cudaHostAllocPortable);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    fail("CUDA: {} need {} bytes of pinned host memory, which the system does not give", what, size);
  }
  check(error, "pinned host memory");
  PinnedMemory memory(pointer, size);
  std::fill_n(memory.data(), size, std::byte{0});
  return memory;
}

Stream::Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream"); }

Stream::~Stream() {
  if (stream_ != nullptr) (void)cudaStreamDestroy(stream_);
}

void Stream::synchronise(std::string_view doing) const { check(cudaStreamSynchronize(stream_), doing); }

LaunchGraph::LaunchGraph(const Stream& stream, const std::function<void()>& record) {
  check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal), "capturing a graph");
  try {
    record();
  } catch (...) {
    (void)cudaStreamEndCapture(stream.get(), &graph_);
    if (graph_ != nullptr) (void)cudaGraphDestroy(graph_);
    (void)cudaGetLastError();
    throw;
  }
  check(cudaStreamEndCapture(stream.get(), &graph_), "capturing a graph");
  const cudaError_t error = cudaGraphInstantiate(&exec_, graph_, 0);
  if (error != cudaSuccess) (void)cudaGraphDestroy(graph_);
  check(error, "instantiating a graph");
  check(cudaGraphUpload(exec_, stream.get()), "uploading a graph");
}

LaunchGraph::~LaunchGraph() {
  if (exec_ != nullptr) (void)cudaGraphExecDestroy(exec_);
  if (graph_ != nullptr) (void)cudaGraphDestroy(graph_);
}

void LaunchGraph::launch(const Stream& stream) const {
  check(cudaGraphLaunch(exec_, stream.get()), "launching a graph");
}

void LaunchGraph::read_from(const void* from, void* to, std::size_t size) {
  std::size_t count = 0;
  check(cudaGraphGetNodes(graph_, nullptr, &count), "reading a graph");
  std::vector<cudaGraphNode_t> nodes(count);
  check(cudaGraphGetNodes(graph_, nodes.data(), &count), "reading a graph");
  for (const cudaGraphNode_t node : nodes) {
    cudaGraphNodeType type{};
    check(cudaGraphNodeGetType(node, &type), "reading a graph");
    if (type != cudaGraphNodeTypeMemcpy) continue;
    cudaMemcpy3DParms copy{};
    check(cudaGraphMemcpyNodeGetParams(node, &copy), "reading a graph");
    if (copy.dstPtr.ptr != to) continue;
    check(cudaGraphExecMemcpyNodeSetParams1D(exec_, node, to, from, size, cudaMemcpyHostToDevice), "updating a graph");
    return;
  }
  fail("CUDA: the graph has no copy into that memory");
}

}  // namespace octet::cuda
#endif
