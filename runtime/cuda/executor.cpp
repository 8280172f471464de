// CUDA: the whole network is one graph per batch size, copies included. Nothing is allocated and nothing is waited for
// inside a run but its end.
#include "runtime/executor.h"

#include <algorithm>
#include <cstring>

#include "runtime/error.h"

#ifdef OCTET_HAS_CUDA
#include "runtime/cuda/constants.h"
#include "runtime/cuda/device.h"
#include "runtime/cuda/memory.h"

namespace octet {
namespace {

using namespace cuda;

constexpr std::size_t kAlignment = 256;
// The output's device memory and its pinned twin begin with the fault flag, so that one copy brings both.
constexpr std::size_t kFaultBytes = kAlignment;

std::size_t aligned(std::size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

class CudaExecutor final : public Executor {
 public:
  explicit CudaExecutor(std::shared_ptr<const Program> program);

  bool run(const Tensor& input, Tensor& output, const Context::Hook* hook) override;
  bool run_timed(const Tensor& input, Tensor& output, const Context::StepTimer& timer) override;
  Tensor host_tensor(DType type, const Shape& shape) const override;
  std::size_t memory_bytes() const override { return device_.size() + staging_.size(); }

 private:
  struct Recorded {  // a batch size's graph, and where its input is copied from
    std::unique_ptr<LaunchGraph> graph;
    const void* input = nullptr;
  };
  View resolve(int slot) const;
  void set_batch(std::int64_t n);
  void launch(std::size_t step);
  Recorded& recorded(std::int64_t n);
  const void* stage(const Tensor& input);
  void copy_in(const void* from, std::int64_t n);
  void copy_out(std::int64_t n);
  bool finish(Tensor& output);
  void show(const Completed& done, const Context::Hook& hook);

  std::shared_ptr<const Program> program_;
  Stream stream_;
  DeviceMemory device_;   // arena | workspace | input | fault flag, output
  PinnedMemory staging_;  // input | fault flag, output
  std::byte *workspace_ = nullptr, *input_ = nullptr, *output_ = nullptr;
  std::byte* staged_output_ = nullptr;
  std::size_t input_bytes_ = 0, output_bytes_ = 0;  // of one image
  std::vector<Bound> bound_;
  std::vector<Recorded> recorded_;  // [n - 1]
  std::vector<std::byte> shown_;    // what a hook sees
};

CudaExecutor::CudaExecutor(std::shared_ptr<const Program> program)
    : Executor(program->steps.size()), program_(std::move(program)) {
  const Program& p = *program_;
  p.constants->upload(p);
  std::size_t workspace = 0;
  for (const Step& step : p.steps) workspace = std::max(workspace, step.scratch_bytes);
  const auto bytes_of = [](const Tensor& like) {
    return static_cast<std::size_t>(like.shape().elements()) * static_cast<std::size_t>(size_of(like.dtype()));
  };
  input_bytes_ = bytes_of(p.input_like), output_bytes_ = bytes_of(p.output_like);
  const auto batch = static_cast<std::size_t>(p.batch);
  const std::size_t arena = aligned(p.arena_bytes), in = aligned(batch * input_bytes_);
  const std::size_t out = aligned(kFaultBytes + batch * output_bytes_);
  const std::string what = fmt::format("the activations of {} for a batch of {}", p.graph.name, p.batch);
  device_ = allocate_device(arena + aligned(workspace) + in + out, what);
  staging_ = allocate_pinned(in + out, what);
  workspace_ = device_.data() + arena;
  input_ = workspace_ + aligned(workspace);
  output_ = input_ + in;
  staged_output_ = staging_.data() + in;

  bound_.resize(p.steps.size());
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    for (const int input : p.steps[i].inputs) bound_[i].inputs.push_back(resolve(input));
    bound_[i].args = {bound_[i].inputs.data(), static_cast<std::int32_t>(bound_[i].inputs.size()),
                      resolve(p.steps[i].output), p.constants->params(i), reinterpret_cast<std::int32_t*>(output_)};
  }
  recorded_.resize(batch);
  recorded(p.batch);
}

View CudaExecutor::resolve(int index) const {
  const Slot& slot = program_->slots[static_cast<std::size_t>(index)];
  View view = slot.view;
  view.data = slot.place == Place::arena           ? device_.data() + slot.offset
              : slot.place == Place::network_input ? input_
                                                   : output_ + kFaultBytes;
  return view;
}

void CudaExecutor::set_batch(std::int64_t n) {
  for (Bound& bound : bound_) {
    for (View& view : bound.inputs) view.n = static_cast<std::int32_t>(n);
    bound.args.output.n = static_cast<std::int32_t>(n);
  }
}

void CudaExecutor::launch(std::size_t index) {
  const Step& step = program_->steps[index];
  const GpuLaunch launch{stream_.get(), &program_->gpu, workspace_, step.config};
  const auto error = static_cast<cudaError_t>(step.launch(bound_[index].args, launch));
  if (error != cudaSuccess) check(error, fmt::format("{}: {} ({})", program_->graph.name, step.name, step.variant));
}

void CudaExecutor::copy_in(const void* from, std::int64_t n) {
  check(
      cudaMemcpyAsync(input_, from, static_cast<std::size_t>(n) * input_bytes_, cudaMemcpyHostToDevice, stream_.get()),
      "copying the input");
}

void CudaExecutor::copy_out(std::int64_t n) {
  const std::size_t size = kFaultBytes + static_cast<std::size_t>(n) * output_bytes_;
  check(cudaMemcpyAsync(staged_output_, output_, size, cudaMemcpyDeviceToHost, stream_.get()), "copying the output");
}

CudaExecutor::Recorded& CudaExecutor::recorded(std::int64_t n) {
  Recorded& r = recorded_[static_cast<std::size_t>(n - 1)];
  if (r.graph != nullptr) return r;
  set_batch(n);
  r.input = staging_.data();
  r.graph = std::make_unique<LaunchGraph>(stream_, [&] {
    copy_in(r.input, n);
    for (std::size_t i = 0; i < bound_.size(); ++i) launch(i);
    copy_out(n);
  });
  return r;
}

// Where the device can copy the input from: its own memory when that is pinned, else the staging buffer.
const void* CudaExecutor::stage(const Tensor& input) {
  cudaPointerAttributes attributes{};
  const bool known = cudaPointerGetAttributes(&attributes, input.raw()) == cudaSuccess;
  if (known && attributes.type == cudaMemoryTypeHost) return input.raw();
  std::memcpy(staging_.data(), input.raw(), input.bytes());
  return staging_.data();
}

// Waits; false when the fault flag was set, which it then no longer is.
bool CudaExecutor::finish(Tensor& output) {
  stream_.synchronise(program_->graph.name);
  std::int32_t fault = 0;
  std::memcpy(&fault, staged_output_, sizeof fault);
  if (fault != 0) check(cudaMemsetAsync(output_, 0, sizeof fault, stream_.get()), "clearing the fault flag");
  std::memcpy(output.raw(), staged_output_ + kFaultBytes, output.bytes());
  return fault == 0;
}

bool CudaExecutor::run(const Tensor& input, Tensor& output, const Context::Hook* hook) {
  const std::int64_t n = input.shape()[0];
  const void* from = stage(input);
  if (hook == nullptr) {
    Recorded& r = recorded(n);
    if (r.input != from) {
      r.graph->read_from(from, input_, static_cast<std::size_t>(n) * input_bytes_);
      r.input = from;
    }
    for (std::size_t i = 0; i < bound_.size(); ++i) count(i);
    r.graph->launch(stream_);
    return finish(output);
  }
  set_batch(n);
  copy_in(from, n);
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    count(i);
    launch(i);
    if (program_->steps[i].completes.empty()) continue;
    stream_.synchronise(program_->steps[i].name);
    for (const Completed& done : program_->steps[i].completes) show(done, *hook);
  }
  copy_out(n);
  return finish(output);
}

// Calls the hook with a copy of the activation, from its first to its last byte.
void CudaExecutor::show(const Completed& done, const Context::Hook& hook) {
  View view = resolve(done.slot);
  view.n = bound_[0].args.output.n;
  const std::int64_t last = (view.n - 1) * view.stride_n + (view.h - 1) * view.stride_h + (view.w - 1) * view.stride_w +
                            (view.c - 1) * view.stride_c;
  shown_.resize(static_cast<std::size_t>((last + 1) * size_of(view.type)));
  check(cudaMemcpy(shown_.data(), view.data, shown_.size(), cudaMemcpyDeviceToHost), "copying an activation");
  view.data = shown_.data();
  hook(done.edge, view);
}

bool CudaExecutor::run_timed(const Tensor& input, Tensor& output, const Context::StepTimer& timer) {
  const std::int64_t n = input.shape()[0];
  set_batch(n);
  copy_in(stage(input), n);
  stream_.synchronise("copying the input");
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    timer(i, [this, i] {
      count(i);
      launch(i);
      stream_.synchronise(program_->steps[i].name);
    });
  }
  copy_out(n);
  return finish(output);
}

Tensor CudaExecutor::host_tensor(DType type, const Shape& shape) const {
  const std::size_t size = static_cast<std::size_t>(shape.elements()) * static_cast<std::size_t>(size_of(type));
  auto memory = std::make_shared<PinnedMemory>(allocate_pinned(std::max<std::size_t>(size, 1), "host tensors"));
  return Tensor(type, shape, memory->data(), memory);
}

}  // namespace

std::unique_ptr<Executor> make_cuda_executor(std::shared_ptr<const Program> program) {
  const cuda::Status& status = cuda::status();
  require(status.usable, "{} was planned for CUDA: {}", program->graph.name, status.why);
  require(status.gpu.capability() == program->gpu.capability(), "{} was planned for {}; the device here is {}",
          program->graph.name, program->gpu.name, status.gpu.name);
  if (!program->sparse.levels().empty()) return make_cuda_sparse_executor(std::move(program));
  return std::make_unique<CudaExecutor>(std::move(program));
}

}  // namespace octet

#else

namespace octet {

std::unique_ptr<Executor> make_cuda_executor(std::shared_ptr<const Program> program) {
  fail("{} was planned for CUDA: this build has no CUDA kernels", program->graph.name);
}

}  // namespace octet

#endif
