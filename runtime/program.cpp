#include "runtime/program.h"

#include <algorithm>

#include "runtime/error.h"
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

}  // namespace

std::size_t Program::packed_bytes() const {
  std::size_t sum = 0;
  for (const Step& step : steps) sum += step.packed_bytes;
  return sum;
}

Context::Context(std::shared_ptr<const Program> program, ThreadPool& pool) : program_(std::move(program)), pool_(pool) {
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
#ifdef OCTET_COUNT_KERNELS
  calls_.resize(bound_.size());
#endif
}

View Context::resolve(int index) const {
  const Slot& slot = program_->slots[static_cast<std::size_t>(index)];
  View view = slot.view;
  if (slot.place == Place::arena) view.data = const_cast<std::byte*>(arena_.raw()) + slot.offset;
  return view;
}

std::size_t Context::memory_bytes() const { return arena_.bytes() + scratch_.bytes(); }

void Context::check(const Tensor& input, const Tensor& output) const {
  const auto check_one = [&](const char* what, const Tensor& tensor, const Tensor& like) {
    const auto wanted = like.shape().dims();
    require(tensor.dtype() == like.dtype() && tensor.shape().rank() == static_cast<int>(wanted.size()) + 1 &&
                std::equal(wanted.begin(), wanted.end(), tensor.shape().dims().begin() + 1),
            "the {} is {} {}; {} expects {} [n]x{}", what, name_of(tensor.dtype()), tensor.shape().str(),
            program_->graph.name, name_of(like.dtype()), like.shape().str());
  };
  check_one("input", input, program_->input_like);
  check_one("output", output, program_->output_like);
  const std::int64_t n = input.shape()[0];
  require(n >= 1 && n <= program_->batch, "a batch of {}: 1 to {} was planned for", n, program_->batch);
  require(output.shape()[0] == n, "an output for {} images with an input of {}", output.shape()[0], n);
}

void Context::bind(const Tensor& input, Tensor& output) {
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

void Context::execute(std::size_t index) {
  const Step& step = program_->steps[index];
  const StepArgs& args = bound_[index].args;
  Job job{&step, &args, scratch_.raw(), scratch_stride_};
#ifdef OCTET_COUNT_KERNELS
  ++calls_[index];
#endif
  pool_.run(step.tiles(args), run_tiles, &job);
}

void Context::check_fault() const {
  require(fault_ == 0, "{}: a NaN reached a quantiser; finite inputs were expected", program_->graph.name);
}

void Context::run(const Tensor& input, Tensor& output, const Hook* hook) {
  check(input, output);
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
  check_fault();
}

void Context::run_timed(const Tensor& input, Tensor& output, const StepTimer& timer) {
  check(input, output);
  const FloatEnvironment environment;
  fault_ = 0;
  bind(input, output);
  for (std::size_t i = 0; i < bound_.size(); ++i) timer(i, [this, i] { execute(i); });
  check_fault();
}

}  // namespace octet
