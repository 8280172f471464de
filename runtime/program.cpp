#include "runtime/program.h"

#include <algorithm>
#include <cstdint>

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

namespace {

void check_like(const Program& program, const char* what, const Tensor& tensor, const Tensor& like) {
  const auto wanted = like.shape().dims();
  require(tensor.dtype() == like.dtype() && tensor.shape().rank() == static_cast<int>(wanted.size()) + 1 &&
              std::equal(wanted.begin(), wanted.end(), tensor.shape().dims().begin() + 1),
          "the {} is {} {}; {} expects {} [n]x{}", what, name_of(tensor.dtype()), tensor.shape().str(),
          program.graph.name, name_of(like.dtype()), like.shape().str());
}

void check_batch(const Program& program, std::int64_t n, const Tensor& output) {
  require(n >= 1 && n <= program.batch, "a batch of {}: 1 to {} was planned for", n, program.batch);
  require(output.shape()[0] == n, "an output for {} images with an input of {}", output.shape()[0], n);
}

void check_numbers(const Program& program, bool ok) {
  require(ok, "{}: a NaN reached a quantiser; finite inputs were expected", program.graph.name);
}

}  // namespace

void Context::check(const Tensor& input, const Tensor& output) const {
  require(program_->sparse.levels().empty(), "{}: its input is sparse; a SparseTensor was expected",
          program_->graph.name);
  check_like(*program_, "input", input, program_->input_like);
  check_like(*program_, "output", output, program_->output_like);
  check_batch(*program_, input.shape()[0], output);
}

void Context::check(const SparseTensor& input, const Tensor& output) const {
  require(!program_->sparse.levels().empty(), "{}: its input is dense; it cannot run a SparseTensor",
          program_->graph.name);
  require(!program_->voxels, "{}: was planned for points, which it makes voxels of", program_->graph.name);
  octet::check(input);
  const Shape& wanted = program_->input_like.shape();
  require(input.grid == grid_of(wanted) && input.features.shape()[1] == wanted[0],
          "the input has {} features on a grid of {}; {} expects {} on {}", input.features.shape()[1], input.grid.str(),
          program_->graph.name, wanted[0], grid_of(wanted).str());
  check_like(*program_, "output", output, program_->output_like);
  check_batch(*program_, input.batch, output);
}

VoxelCounts Context::check(PointClouds clouds, const Tensor& output) const {
  require(program_->voxels.has_value(), "{}: was not planned for points", program_->graph.name);
  check_like(*program_, "output", output, program_->output_like);
  check_batch(*program_, static_cast<std::int64_t>(clouds.size()), output);
  const auto features = static_cast<std::size_t>(program_->input_like.shape()[0]);
  VoxelCounts counts;
  for (const std::span<const float> cloud : clouds) {
    require(cloud.size() % features == 0, "a cloud of {} numbers is not made of points of {} features", cloud.size(),
            features);
    counts.points += static_cast<std::int64_t>(cloud.size() / features);
  }
  require(counts.points < INT32_MAX, "{} points: fewer than 2^31 were expected", counts.points);
  return counts;
}

void Context::run(const Tensor& input, Tensor& output, const Hook* hook) {
  check(input, output);
  check_numbers(*program_, executor_->run(input, output, hook));
}

void Context::run(const SparseTensor& input, Tensor& output, const Hook* hook) {
  check(input, output);
  check_numbers(*program_, executor_->run(input, output, hook));
}

VoxelCounts Context::run(PointClouds clouds, Tensor& output, const Hook* hook) {
  VoxelCounts counts = check(clouds, output);
  check_numbers(*program_, executor_->run(clouds, output, hook, counts));
  return counts;
}

VoxelCounts Context::run_timed(PointClouds clouds, Tensor& output, const StepTimer& timer) {
  VoxelCounts counts = check(clouds, output);
  check_numbers(*program_, executor_->run_timed(clouds, output, timer, counts));
  return counts;
}

void Context::run_timed(const Tensor& input, Tensor& output, const StepTimer& timer) {
  check(input, output);
  check_numbers(*program_, executor_->run_timed(input, output, timer));
}

void Context::run_timed(const SparseTensor& input, Tensor& output, const StepTimer& timer) {
  check(input, output);
  check_numbers(*program_, executor_->run_timed(input, output, timer));
}

// (A program is made for one device's executor, which has what that program needs.)
bool Executor::run(const SparseTensor&, Tensor&, const Context::Hook*) { fail("this network takes no sites"); }
bool Executor::run_timed(const SparseTensor&, Tensor&, const Context::StepTimer&) {
  fail("this network takes no sites");
}
bool Executor::run(PointClouds, Tensor&, const Context::Hook*, VoxelCounts&) { fail("this network takes no points"); }
bool Executor::run_timed(PointClouds, Tensor&, const Context::StepTimer&, VoxelCounts&) {
  fail("this network takes no points");
}

const SparseGeometry* Context::geometry() const { return executor_->geometry(); }

Tensor Context::host_tensor(DType type, const Shape& shape) const { return executor_->host_tensor(type, shape); }

std::size_t Context::memory_bytes() const { return executor_->memory_bytes(); }

std::span<const std::int64_t> Context::calls() const { return executor_->calls(); }

}  // namespace octet
