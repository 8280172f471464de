// The host side of the emulated device: memory is the process's, streams do what they are told at once.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "cuda_runtime_api.h"

struct SimtNode {
  cudaGraphNodeType type;
  void* to;  // of a copy
  std::function<void()> act;
};
struct SimtGraph {
  std::vector<std::unique_ptr<SimtNode>> nodes;
  std::map<const SimtNode*, std::function<void()>> replaced;  // of an instantiated one
  SimtGraph* of = nullptr;
};
struct CUstream_st {
  SimtGraph* captured = nullptr;
};

namespace {

constexpr std::size_t kMemory = std::size_t{8} << 30;  // what the device is said to have

struct Allocation {
  std::size_t size;
  cudaMemoryType type;
};
std::mutex mutex;
std::map<const char*, Allocation>& allocations() {
  static std::map<const char*, Allocation> all;
  return all;
}

cudaError_t allocate(void** pointer, std::size_t size, cudaMemoryType type) {
  if (size > kMemory) return cudaErrorMemoryAllocation;
  const std::lock_guard lock(mutex);
  // (no byte more than was asked for: AddressSanitizer guards the end)
  if (posix_memalign(pointer, 256, std::max<std::size_t>(size, 1)) != 0) return cudaErrorMemoryAllocation;
  std::memset(*pointer, 0xA5, size);
  allocations()[static_cast<const char*>(*pointer)] = {size, type};
  return cudaSuccess;
}

cudaError_t release(void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  const std::lock_guard lock(mutex);
  if (allocations().erase(static_cast<const char*>(pointer)) == 0) return cudaErrorInvalidValue;
  std::free(pointer);
  return cudaSuccess;
}

cudaError_t act_or_note(cudaStream_t stream, cudaGraphNodeType type, void* to, std::function<void()> act) {
  if (stream != nullptr && stream->captured != nullptr) {
    stream->captured->nodes.push_back(std::make_unique<SimtNode>(SimtNode{type, to, std::move(act)}));
  } else {
    const std::lock_guard lock(mutex);  // one device: whoever comes waits
    act();
  }
  return cudaSuccess;
}

}  // namespace

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "an error of the emulated device";
}
const char* cudaGetErrorName(cudaError_t error) { return error == cudaSuccess ? "cudaSuccess" : "cudaError"; }
cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  *p = {};
  std::snprintf(p->name, sizeof p->name, "emulated device");
  p->major = 8, p->minor = 0, p->multiProcessorCount = 1;  // (few blocks: each of their threads costs time)
  p->l2CacheSize = 1 << 20, p->sharedMemPerMultiprocessor = 228 << 10, p->totalGlobalMem = kMemory;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) { return *value = 227 << 10, cudaSuccess; }

cudaError_t cudaMalloc(void** pointer, std::size_t size) { return allocate(pointer, size, cudaMemoryTypeDevice); }
cudaError_t cudaFree(void* pointer) { return release(pointer); }
cudaError_t cudaHostAlloc(void** pointer, std::size_t size, unsigned) {
  return allocate(pointer, size, cudaMemoryTypeHost);
}
cudaError_t cudaFreeHost(void* pointer) { return release(pointer); }
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) { return *free = *total = kMemory, cudaSuccess; }

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  const std::lock_guard lock(mutex);
  attributes->type = cudaMemoryTypeUnregistered;
  const auto* at = static_cast<const char*>(pointer);
  auto found = allocations().upper_bound(at);
  if (found == allocations().begin()) return cudaSuccess;
  --found;
  if (at < found->first + found->second.size) attributes->type = found->second.type;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t size, cudaMemcpyKind, cudaStream_t stream) {
  return act_or_note(stream, cudaGraphNodeTypeMemcpy, to, [=] { std::memcpy(to, from, size); });
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t size, cudaStream_t stream) {
  return act_or_note(stream, cudaGraphNodeTypeMemset, to, [=] { std::memset(to, value, size); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return *stream = new CUstream_st, cudaSuccess; }
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  return stream->captured = new SimtGraph, cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = stream->captured;
  stream->captured = nullptr;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new SimtGraph;
  (*exec)->of = graph;
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t) {
  const std::lock_guard lock(mutex);
  for (const auto& node : exec->of->nodes) {
    const auto found = exec->replaced.find(node.get());
    found == exec->replaced.end() ? node->act() : found->second();
  }
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  *count = graph->nodes.size();
  for (std::size_t i = 0; nodes != nullptr && i < *count; ++i) nodes[i] = graph->nodes[i].get();
  return cudaSuccess;
}
cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  return *type = node->type, cudaSuccess;
}
cudaError_t cudaGraphMemcpyNodeGetParams(cudaGraphNode_t node, cudaMemcpy3DParms* params) {
  return params->dstPtr.ptr = node->to, cudaSuccess;
}
cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void* to, const void* from,
                                               std::size_t size, cudaMemcpyKind) {
  exec->replaced[node] = [=] { std::memcpy(to, from, size); };
  return cudaSuccess;
}

cudaError_t simt_launch(const cudaLaunchConfig_t& config, std::function<void()> thread) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  if (grid.x * grid.y * grid.z == 0 || block.x * block.y * block.z == 0) return cudaErrorInvalidConfiguration;
  return act_or_note(config.stream, cudaGraphNodeTypeKernel, nullptr,
                     [grid, block, shared = config.dynamicSmemBytes, thread = std::move(thread)] {
                       simt::launch(grid, block, shared, thread);
                     });
}
