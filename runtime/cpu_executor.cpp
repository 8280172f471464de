// The CPU: steps one after another, each split over the threads of a pool.
#include <algorithm>

#include "runtime/executor.h"
#include "runtime/float_environment.h"

namespace octet {
namespace {

constexpr std::size_t kScratchAlignment = 4096;  // a page per thread at least: no two threads share a cache line

Tensor bytes_tensor(std::size_t size) { return Tensor(DType::u8, Shape{static_cast<std::int64_t>(size)}); }

struct Job {
  const Step* step;
  const StepArgs* args;
  std::byte* scratch;
  std::size_t scratch_stride;
};

void run_tiles(void* context, std::int64_t first, std::int64_t last, int worker) {
  const Job& job = *static_cast<const Job*>(context);
  job.step->run(*job.args, first, last, job.scratch + static_cast<std::size_t>(worker) * job.scratch_stride);
}

class CpuExecutor final : public Executor {
 public:
  CpuExecutor(std::shared_ptr<const Program> program, ThreadPool& pool);

  bool run(const Tensor& input, Tensor& output, const Context::Hook* hook) override;
  bool run_timed(const Tensor& input, Tensor& output, const Context::StepTimer& timer) override;
  std::size_t memory_bytes() const override { return arena_.bytes() + scratch_.bytes(); }

 private:
  void bind(const Tensor& input, Tensor& output);
  void execute(std::size_t step);
  View resolve(int slot) const;

  std::shared_ptr<const Program> program_;
  ThreadPool& pool_;
  Tensor arena_;
  Tensor scratch_;
  std::size_t scratch_stride_ = 0;
  std::vector<Bound> bound_;
  std::int32_t fault_ = 0;
  std::int64_t bound_batch_ = 0;
};

CpuExecutor::CpuExecutor(std::shared_ptr<const Program> program, ThreadPool& pool)
    : Executor(program->steps.size()), program_(std::move(program)), pool_(pool) {
  arena_ = bytes_tensor(program_->arena_bytes);
  for (const Step& step : program_->steps) scratch_stride_ = std::max(scratch_stride_, step.scratch_bytes);
  scratch_stride_ = (scratch_stride_ + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
  scratch_ = bytes_tensor(scratch_stride_ * static_cast<std::size_t>(pool_.threads()));

  bound_.resize(program_->steps.size());
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    const Step& step = program_->steps[i];
    Bound& bound = bound_[i];
    for (const int input : step.inputs) bound.inputs.push_back(resolve(input));
    bound.args = {bound.inputs.data(), static_cast<std::int32_t>(bound.inputs.size()), resolve(step.output),
                  step.params.get(), &fault_};
  }
}

View CpuExecutor::resolve(int index) const {
  const Slot& slot = program_->slots[static_cast<std::size_t>(index)];
  View view = slot.view;
  if (slot.place == Place::arena) view.data = const_cast<std::byte*>(arena_.raw()) + slot.offset;
  return view;
}

void CpuExecutor::bind(const Tensor& input, Tensor& output) {
  const auto n = input.shape()[0];
  const bool resize = n != bound_batch_;
  const auto place = [&](View& view, int slot_index) {
    const Slot& slot = program_->slots[static_cast<std::size_t>(slot_index)];
    if (resize) view.n = static_cast<std::int32_t>(n);
    // Kernels only read their inputs; View has one pointer type for both directions.
    if (slot.place == Place::network_input) view.data = const_cast<std::byte*>(input.raw());
    if (slot.place == Place::network_output) view.data = output.raw();
  };
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    const Step& step = program_->steps[i];
    for (std::size_t k = 0; k < step.inputs.size(); ++k) place(bound_[i].inputs[k], step.inputs[k]);
    place(bound_[i].args.output, step.output);
  }
  bound_batch_ = n;
}

void CpuExecutor::execute(std::size_t index) {
  const Step& step = program_->steps[index];
  const StepArgs& args = bound_[index].args;
  Job job{&step, &args, scratch_.raw(), scratch_stride_};
  count(index);
  pool_.run(step.tiles(args), run_tiles, &job);
}

bool CpuExecutor::run(const Tensor& input, Tensor& output, const Context::Hook* hook) {
  const FloatEnvironment environment;
  fault_ = 0;
  bind(input, output);
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    execute(i);
    if (hook == nullptr) continue;
    for (const Completed& done : program_->steps[i].completes) {
      View view = resolve(done.slot);
      view.n = static_cast<std::int32_t>(bound_batch_);
      if (program_->slots[static_cast<std::size_t>(done.slot)].place == Place::network_output) view.data = output.raw();
      (*hook)(done.edge, view);
    }
  }
  return fault_ == 0;
}

bool CpuExecutor::run_timed(const Tensor& input, Tensor& output, const Context::StepTimer& timer) {
  const FloatEnvironment environment;
  fault_ = 0;
  bind(input, output);
  for (std::size_t i = 0; i < bound_.size(); ++i) timer(i, [this, i] { execute(i); });
  return fault_ == 0;
}

}  // namespace

std::unique_ptr<Executor> make_cpu_executor(std::shared_ptr<const Program> program, ThreadPool& pool) {
  return std::make_unique<CpuExecutor>(std::move(program), pool);
}

}  // namespace octet
