#include "runtime/program.h"

#include <algorithm>

#include "runtime/error.h"
#include "runtime/executor.h"

namespace octet {

std::size_t Program::packed_bytes() const {
  std::size_t sum = 0;
  for (const Step& step : steps) sum += step.packed_bytes;
  return sum;
}

Context::Context(std::shared_ptr<const Program> program, ThreadPool& pool)
    : program_(std::move(program)),
      executor_(program_->device == "cuda" ? make_cuda_executor(program_) : make_cpu_executor(program_, pool)) {}

Context::~Context() = default;

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

void Context::run(const Tensor& input, Tensor& output, const Hook* hook) {
  check(input, output);
  require(executor_->run(input, output, hook), "{}: a NaN reached a quantiser; finite inputs were expected",
          program_->graph.name);
}

void Context::run_timed(const Tensor& input, Tensor& output, const StepTimer& timer) {
  check(input, output);
  require(executor_->run_timed(input, output, timer), "{}: a NaN reached a quantiser; finite inputs were expected",
          program_->graph.name);
}

Tensor Context::host_tensor(DType type, const Shape& shape) const { return executor_->host_tensor(type, shape); }

std::size_t Context::memory_bytes() const { return executor_->memory_bytes(); }

std::span<const std::int64_t> Context::calls() const { return executor_->calls(); }

}  // namespace octet
