// Executor: how a Context runs its Program on one kind of device. Inputs and outputs have been checked against the
// program when they come here.
#pragma once

#include <memory>
#include <span>

#include "runtime/program.h"

namespace octet {

class Executor {
 public:
  virtual ~Executor() = default;

  // Both return false when a NaN reached a quantiser.
  [[nodiscard]] virtual bool run(const Tensor& input, Tensor& output, const Context::Hook* hook) = 0;
  [[nodiscard]] virtual bool run_timed(const Tensor& input, Tensor& output, const Context::StepTimer& timer) = 0;
  // Sparse networks; the input has been checked too.
  [[nodiscard]] virtual bool run(const SparseTensor& input, Tensor& output, const Context::Hook* hook);
  [[nodiscard]] virtual bool run_timed(const SparseTensor& input, Tensor& output, const Context::StepTimer& timer);
  // Programs that take points; `counts` knows how many, the rest is filled in.
  [[nodiscard]] virtual bool run(PointClouds clouds, Tensor& output, const Context::Hook* hook, VoxelCounts& counts);
  [[nodiscard]] virtual bool run_timed(PointClouds clouds, Tensor& output, const Context::StepTimer& timer,
                                       VoxelCounts& counts);
  virtual const SparseGeometry* geometry() const { return nullptr; }
  virtual Tensor host_tensor(DType type, const Shape& shape) const { return Tensor(type, shape); }
  virtual std::size_t memory_bytes() const = 0;

  std::span<const std::int64_t> calls() const { return calls_; }

 protected:
  // `steps` of the program: what calls() counts.
  explicit Executor([[maybe_unused]] std::size_t steps) {
#ifdef OCTET_COUNT_KERNELS
    calls_.resize(steps);
#endif
  }
  // To be called once a step that was run.
  void count([[maybe_unused]] std::size_t step) {
#ifdef OCTET_COUNT_KERNELS
    ++calls_[step];
#endif
  }

  struct Bound {  // a step with its views resolved to this executor's memory
    std::vector<View> inputs;
    StepArgs args;
  };

 private:
  std::vector<std::int64_t> calls_;
};

// `pool` must outlive it. Throws Error when memory is lacking.
std::unique_ptr<Executor> make_cpu_executor(std::shared_ptr<const Program> program, ThreadPool& pool);
// Throws Error in a build without CUDA.
std::unique_ptr<Executor> make_cuda_executor(std::shared_ptr<const Program> program);
std::unique_ptr<Executor> make_cuda_sparse_executor(
    std::shared_ptr<const Program> program);  // make_cuda_executor() does

}  // namespace octet
