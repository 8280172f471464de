// Program: a network planned for one device: a flat list of steps, each a kernel with its packed weights and the places
// of its activations in one arena. It is immutable and may be shared; each thread that runs it has its own Context.
// kernels/plan/ makes Programs; this file only executes them.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/qgraph.h"
#include "runtime/tensor.h"
#include "runtime/thread_pool.h"
#include "runtime/view.h"

namespace octet {

// Where a step finds an activation: in the arena, or in the caller's tensor.
enum class Place : std::uint8_t { arena, network_input, network_output };

struct Slot {
  Place place = Place::arena;
  std::int64_t offset = 0;  // bytes from the arena's start to element (0, 0, 0, 0)
  View view;                // for the largest batch; `data` is set when a Context binds it
};

struct Completed {
  EdgeId edge;
  int slot;
};

struct Step {
  std::string name;  // the QGraph node's name
  Op op;
  std::string variant;  // the kernel, e.g. conv2d_s8_portable
  Precision precision = Precision::fp32;
  StepFunction run = nullptr;
  std::int64_t (*tiles)(const StepArgs&) = nullptr;
  std::vector<int> inputs;  // slots
  int output = -1;          // slot
  std::shared_ptr<const void> params;
  std::size_t scratch_bytes = 0;     // per thread
  std::size_t packed_bytes = 0;      // weights as this kernel wants them
  std::vector<Completed> completes;  // the QGraph edges whose values exist once this step is done
  std::string note;                  // why this kernel and not a faster one
};

struct Program {
  QGraph graph;  // the description (names, shapes, quantisation); weight tensors are dropped after packing
  std::vector<Slot> slots;
  std::vector<Step> steps;
  std::size_t arena_bytes = 0;
  int batch = 1;      // the largest batch a run may have
  Tensor input_like;  // empty tensors of one image's shape and type: what run() expects and fills
  Tensor output_like;
  std::string device = "cpu";
  std::string isa;  // the instruction-set level that was planned for

  std::size_t packed_bytes() const;
};

class Context {
 public:
  // Allocates the arena and the scratch memory; afterwards run() allocates nothing. `pool` may be shared with other
  // contexts (ThreadPool::run says how) and must outlive this one.
  Context(std::shared_ptr<const Program> program, ThreadPool& pool);
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // input: [n, ...] of the program's input type and shape, 1 <= n <= program.batch. output likewise, filled.
  // Throws Error when they do not fit or when a NaN reaches a quantiser. Not thread-safe: one Context, one thread.
  // `hook`, if given, is called after each step that completes an edge, while the edge's view is valid.
  using Hook = std::function<void(EdgeId edge, const View& view)>;
  void run(const Tensor& input, Tensor& output, const Hook* hook = nullptr);

  // For `octet bench --per-layer`: called instead of each step's plain execution when set.
  using StepTimer = std::function<void(std::size_t step, const std::function<void()>& execute)>;
  void run_timed(const Tensor& input, Tensor& output, const StepTimer& timer);

  std::size_t memory_bytes() const;  // arena and scratch
  // Calls of each step since construction; only in a build with OCTET_COUNT_KERNELS, otherwise empty.
  std::span<const std::int64_t> calls() const { return calls_; }

 private:
  struct Bound {  // a step with its views resolved to this context's memory
    std::vector<View> inputs;
    StepArgs args;
  };
  void check(const Tensor& input, const Tensor& output) const;
  void bind(const Tensor& input, Tensor& output);
  void execute(std::size_t step);
  void check_fault() const;
  View resolve(int slot) const;

  std::shared_ptr<const Program> program_;
  ThreadPool& pool_;
  Tensor arena_;
  Tensor scratch_;
  std::size_t scratch_stride_ = 0;
  std::vector<Bound> bound_;
  std::vector<std::int64_t> calls_;
  std::int32_t fault_ = 0;
  std::int64_t bound_batch_ = 0;
};

}  // namespace octet
