// Program: a network planned for one device: a flat list of steps, each a kernel with its packed weights and the places
// of its activations in one arena. It is immutable and may be shared; each thread that runs it has its own Context.
// kernels/plan/ makes Programs; this file only executes them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/gpu.h"
#include "runtime/qgraph.h"
#include "runtime/tensor.h"
#include "runtime/thread_pool.h"
#include "runtime/view.h"
#include "runtime/voxels.h"

namespace octet {

// Where a step finds an activation: in the arena, or in the caller's tensor.
enum class Place : std::uint8_t { arena, network_input, network_output };

struct Slot {  // one activation, or a slice of one
  Place place = Place::arena;
  std::int64_t offset = 0;  // bytes from the arena's start to element (0, 0, 0, 0)
  View view;                // for the largest batch; `data` is set when a Context binds it
  int level = -1;           // sparse: the set of sites; a Context sets view.w to their number
  int block = -1;           // sparse and in the arena: in Program::sparse_blocks; `offset` is then inside of a row
};

// Memory of a sparse activation: one row a site. How many sites a level has is known when a frame is there; a Context
// then places all blocks anew if they have outgrown their places.
struct SparseBlock {
  int level = 0;
  std::int64_t bytes_per_row = 0;
  int first = -1, last = -1;  // steps between which it is in use
};

struct Completed {  // an edge whose value lies in a slot now
  EdgeId edge;
  int slot;
};

// On a device with memory of its own: a pointer inside a step's params struct, and what it points to in host memory.
struct Constant {
  std::size_t field = 0;  // bytes from the start of the params struct to the pointer
  const void* data = nullptr;
  std::size_t bytes = 0;
};
namespace cuda {
class Constants;  // a program's weights on the device: runtime/cuda/constants.h
std::shared_ptr<Constants> make_constants();
}  // namespace cuda

struct Step {
  std::string name;  // the QGraph node's name; NAME[PART] where several steps compute one node
  Op op;
  std::string variant;  // the kernel, e.g. conv2d_s8_portable
  Precision precision = Precision::fp32;
  // Sparse networks. `sites`: makes all levels and rulebooks of a frame, the first step, no kernel. `rows`: element by
  // element, so that an executor may split it by rows whatever the kernel's own tiles are. `voxels`: makes the input's
  // sites and features of points, before all others.
  enum class Kind : std::uint8_t { kernel, rows, sites, voxels };
  Kind kind = Kind::kernel;
  int rulebook = -1;           // sparse_conv: its kernel map is one more input, an s32 view [output rows (w), taps (c)]
  int site_level = -1;         // to_dense: the level's keys are one more input, an s64 view [rows (w), 1]
  StepFunction run = nullptr;  // cpu
  std::int64_t (*tiles)(const StepArgs&) = nullptr;  // cpu
  LaunchFunction launch = nullptr;                   // cuda
  int config = 0;                                    // cuda: the kernel's launch configuration
  std::vector<int> inputs;                           // slots
  int output = -1;                                   // slot
  std::shared_ptr<const void> params;
  std::size_t params_bytes = 0;      // cuda: size of the struct that params points to
  std::vector<Constant> constants;   // cuda: its pointers
  std::size_t scratch_bytes = 0;     // cpu: per thread; cuda: the workspace
  std::int64_t macs = 0;             // multiply-accumulates for one image
  std::size_t packed_bytes = 0;      // weights as this kernel wants them
  std::vector<Completed> completes;  // the QGraph edges whose values exist once this step is done
  std::string note;                  // why this kernel and not a faster one
};

struct Program {
  QGraph graph;  // the description (names, shapes, quantisation); weight tensors are dropped after packing
  std::vector<Slot> slots;
  std::vector<Step> steps;
  std::size_t arena_bytes = 0;
  SparsePlan sparse;  // no levels in a dense network
  std::vector<SparseBlock> sparse_blocks;
  std::int64_t sites = 0;  // what a Context makes room for at first, a level; more are made room for when they come
  std::optional<VoxelOptions> voxels;  // what comes in is points
  int batch = 1;                       // the largest batch a run may have
  Tensor input_like;                   // empty tensors of one image's shape and type: what run() expects and fills
  Tensor output_like;
  std::string device = "cpu";  // or "cuda"
  std::string isa;             // the instruction-set level that was planned for; on CUDA the device's, "sm_90"
  Gpu gpu;                     // cuda: the device that was planned for
  std::shared_ptr<cuda::Constants> constants;  // cuda: filled by the first Context, shared by all

  std::size_t packed_bytes() const;
};

// Runs a Program on its device. Not thread-safe: one Context, one thread; any number of Contexts beside each other.
//
// On CUDA a Context is a stream, an arena and, for each batch size that it has been run with, one graph that holds the
// whole network with its copies; the first run of a batch size makes the graph. A run waits for the device once, at its
// end. Inputs in memory from host_tensor() are copied from where they are, others through a pinned buffer.
class Context {
 public:
  // Allocates the arena and the scratch memory; afterwards run() allocates nothing. `pool` may be shared with other
  // contexts (ThreadPool::run says how) and must outlive this one; CUDA does not use it. Throws Error when there is not
  // enough memory, or no such device.
  Context(std::shared_ptr<const Program> program, ThreadPool& pool);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // input: [n, ...] of the program's input type and shape, 1 <= n <= program.batch. output likewise, filled.
  // Throws Error when they do not fit or when a NaN reaches a quantiser.
  // `hook`, if given, is called after each step that completes an edge, while the edge's view is valid (in host
  // memory).
  using Hook = std::function<void(EdgeId edge, const View& view)>;
  void run(const Tensor& input, Tensor& output, const Hook* hook = nullptr);
  // Of a sparse network. A frame with more sites than any before it may allocate; a frame without any is fine. The view
  // that a hook sees of a sparse edge has n = h = 1 and w = the number of sites.
  void run(const SparseTensor& input, Tensor& output, const Hook* hook = nullptr);
  // Of a sparse network that was planned with PlanOptions::voxels: points with as many features as the network's input
  // has. Points in memory from host_tensor() are copied from where they are.
  VoxelCounts run(PointClouds clouds, Tensor& output, const Hook* hook = nullptr);

  // For `octet bench --per-layer`: called instead of each step's plain execution when set.
  using StepTimer = std::function<void(std::size_t step, const std::function<void()>& execute)>;
  void run_timed(const Tensor& input, Tensor& output, const StepTimer& timer);
  void run_timed(const SparseTensor& input, Tensor& output, const StepTimer& timer);
  VoxelCounts run_timed(PointClouds clouds, Tensor& output, const StepTimer& timer);
  // The sites and rulebooks of the last sparse frame; null before the first one and in dense networks.
  const SparseGeometry* geometry() const;

  // A tensor in the memory that this device copies fastest: pinned for CUDA, ordinary otherwise. It may outlive the
  // Context.
  Tensor host_tensor(DType type, const Shape& shape) const;
  std::size_t memory_bytes() const;  // arena and scratch, on the device and pinned
  // Calls of each step since construction; only in a build with OCTET_COUNT_KERNELS, otherwise empty.
  std::span<const std::int64_t> calls() const;

 private:
  void check(const Tensor& input, const Tensor& output) const;
  void check(const SparseTensor& input, const Tensor& output) const;
  VoxelCounts check(PointClouds clouds, const Tensor& output) const;

  std::shared_ptr<const Program> program_;
  std::unique_ptr<class Executor> executor_;
};

}  // namespace octet
