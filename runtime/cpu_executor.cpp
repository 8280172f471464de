// The CPU: steps one after another, each split over the threads of a pool.
#include <algorithm>

#include "runtime/arena.h"
#include "runtime/executor.h"
#include "runtime/float_environment.h"

namespace octet {
namespace {

constexpr std::size_t kScratchAlignment = 4096;  // a page per thread at least: no two threads share a cache line
constexpr std::int64_t kRowsOfTile = 256;        // Step::Kind::rows: a few kilobytes to some tens of them

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

// Rows [first, last) of a view as a view of their own.
View rows_of(View view, std::int64_t first, std::int64_t last) {
  view.data += first * view.stride_w * size_of(view.type);
  view.w = static_cast<std::int32_t>(last - first);
  return view;
}

void run_rows(void* context, std::int64_t first, std::int64_t last, int worker) {
  const Job& job = *static_cast<const Job*>(context);
  const std::int64_t from = first * kRowsOfTile, to = std::min<std::int64_t>(last * kRowsOfTile, job.args->output.w);
  constexpr std::int32_t kMostInputs = 8;
  View inputs[kMostInputs];
  StepArgs part = *job.args;
  for (std::int32_t i = 0; i < part.input_count; ++i) inputs[i] = rows_of(job.args->inputs[i], from, to);
  part.inputs = inputs;
  part.output = rows_of(part.output, from, to);
  job.step->run(part, 0, job.step->tiles(part), job.scratch + static_cast<std::size_t>(worker) * job.scratch_stride);
}

class CpuExecutor final : public Executor {
 public:
  CpuExecutor(std::shared_ptr<const Program> program, ThreadPool& pool);

  bool run(const Tensor& input, Tensor& output, const Context::Hook* hook) override;
  bool run_timed(const Tensor& input, Tensor& output, const Context::StepTimer& timer) override;
  bool run(const SparseTensor& input, Tensor& output, const Context::Hook* hook) override;
  bool run_timed(const SparseTensor& input, Tensor& output, const Context::StepTimer& timer) override;
  const SparseGeometry* geometry() const override { return geometry_.get(); }
  std::size_t memory_bytes() const override {
    return arena_.bytes() + scratch_.bytes() + rows_.bytes() + (geometry_ ? geometry_->memory_bytes() : 0);
  }

 private:
  void bind(const std::byte* input, std::int64_t n, Tensor& output);
  bool run_bound(const Context::Hook* hook);
  void execute(std::size_t step);
  void show(const Step& step, const Context::Hook& hook) const;
  View resolve(int slot) const;
  void make_sites();
  void place_rows();
  void bind_rows(View& view, int slot_index) const;

  std::shared_ptr<const Program> program_;
  ThreadPool& pool_;
  Tensor arena_;
  Tensor scratch_;
  std::size_t scratch_stride_ = 0;
  std::vector<Bound> bound_;
  std::int32_t fault_ = 0;
  std::int64_t bound_batch_ = 0;
  // The caller's, during a run.
  const std::byte* input_ = nullptr;
  std::byte* output_ = nullptr;
  const SparseTensor* sparse_input_ = nullptr;
  // Sparse networks: the frame's sites, and the memory of the rows, laid out for `capacity_` sites of each level.
  std::unique_ptr<SparseGeometry> geometry_;
  std::vector<std::int64_t> capacity_;
  std::vector<ArenaBlock> blocks_;
  Tensor rows_;
};

CpuExecutor::CpuExecutor(std::shared_ptr<const Program> program, ThreadPool& pool)
    : Executor(program->steps.size()), program_(std::move(program)), pool_(pool) {
  arena_ = bytes_tensor(program_->arena_bytes);
  for (const Step& step : program_->steps) scratch_stride_ = std::max(scratch_stride_, step.scratch_bytes);
  scratch_stride_ = (scratch_stride_ + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
  scratch_ = bytes_tensor(scratch_stride_ * static_cast<std::size_t>(pool_.threads()));
  if (!program_->sparse.levels().empty()) {
    geometry_ = std::make_unique<SparseGeometry>(program_->sparse);
    capacity_.assign(program_->sparse.levels().size(), program_->sites);
    place_rows();
  }

  bound_.resize(program_->steps.size());
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    const Step& step = program_->steps[i];
    if (step.kind == Step::Kind::sites) continue;
    Bound& bound = bound_[i];
    for (const int input : step.inputs) bound.inputs.push_back(resolve(input));
    if (step.rulebook >= 0) bound.inputs.push_back({.type = DType::s32});
    if (step.site_level >= 0) bound.inputs.push_back({.type = DType::s64});
    bound.args = {bound.inputs.data(), static_cast<std::int32_t>(bound.inputs.size()), resolve(step.output),
                  step.params.get(), &fault_};
  }
}

View CpuExecutor::resolve(int index) const {
  const Slot& slot = program_->slots[static_cast<std::size_t>(index)];
  View view = slot.view;
  if (slot.level >= 0) {
    bind_rows(view, index);
  } else if (slot.place == Place::arena) {
    view.data = const_cast<std::byte*>(arena_.raw()) + slot.offset;
  } else {
    // Kernels only read their inputs; View has one pointer type for both directions.
    view.data = slot.place == Place::network_output ? output_ : const_cast<std::byte*>(input_);
  }
  return view;
}

void CpuExecutor::bind(const std::byte* input, std::int64_t n, Tensor& output) {
  input_ = input, output_ = output.raw();
  const bool resize = n != bound_batch_;
  const auto place = [&](View& view, int slot_index) {
    const Slot& slot = program_->slots[static_cast<std::size_t>(slot_index)];
    if (slot.level >= 0) return;  // bind_rows() does these
    if (resize) view.n = static_cast<std::int32_t>(n);
    if (slot.place == Place::network_input) view.data = const_cast<std::byte*>(input_);
    if (slot.place == Place::network_output) view.data = output_;
  };
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    const Step& step = program_->steps[i];
    if (step.kind == Step::Kind::sites) continue;
    for (std::size_t k = 0; k < step.inputs.size(); ++k) place(bound_[i].inputs[k], step.inputs[k]);
    place(bound_[i].args.output, step.output);
  }
  bound_batch_ = n;
}

// Lays the rows out for capacity_.
void CpuExecutor::place_rows() {
  blocks_.clear();
  for (const SparseBlock& block : program_->sparse_blocks) {
    blocks_.push_back(
        {block.bytes_per_row * capacity_[static_cast<std::size_t>(block.level)], block.first, block.last});
  }
  const std::int64_t bytes = place_blocks(blocks_) + View::kReadableBeyond;
  if (static_cast<std::size_t>(bytes) > rows_.bytes()) {
    rows_ = {};  // first: both at once may not fit
    rows_ = bytes_tensor(static_cast<std::size_t>(bytes));
  }
}

void CpuExecutor::bind_rows(View& view, int slot_index) const {
  const Slot& slot = program_->slots[static_cast<std::size_t>(slot_index)];
  if (slot.level < 0) return;
  view.w = static_cast<std::int32_t>(geometry_->rows(slot.level));
  if (slot.block < 0) {
    view.data = const_cast<std::byte*>(input_);
    return;
  }
  view.data = const_cast<std::byte*>(rows_.raw()) + blocks_[static_cast<std::size_t>(slot.block)].offset + slot.offset;
}

// The frame's sites and rulebooks, before any feature is computed: then all sizes are known, and nothing has to be run
// again when they have grown.
void CpuExecutor::make_sites() {
  geometry_->build(sparse_input_->keys, sparse_input_->batch, pool_);
  bool grown = false;
  for (std::size_t level = 0; level < capacity_.size(); ++level) {
    const std::int64_t rows = geometry_->rows(static_cast<int>(level));
    if (rows <= capacity_[level]) continue;
    capacity_[level] = rows + rows / 4;
    grown = true;
  }
  if (grown || rows_.empty()) place_rows();
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    const Step& step = program_->steps[i];
    if (step.kind == Step::Kind::sites) continue;
    Bound& bound = bound_[i];
    for (std::size_t k = 0; k < step.inputs.size(); ++k) bind_rows(bound.inputs[k], step.inputs[k]);
    bind_rows(bound.args.output, step.output);
    if (step.rulebook >= 0) {
      const Rulebook& rulebook = geometry_->rulebook(step.rulebook);
      View& map = bound.inputs.back();
      map.data = reinterpret_cast<std::byte*>(const_cast<std::int32_t*>(rulebook.map().data()));
      map.w = static_cast<std::int32_t>(rulebook.rows()), map.c = static_cast<std::int32_t>(rulebook.taps());
      map.n = 1, map.stride_w = 1, map.stride_c = rulebook.rows();
    }
    if (step.site_level >= 0) {
      const auto keys = geometry_->keys(step.site_level);
      View& sites = bound.inputs.back();
      sites.data = reinterpret_cast<std::byte*>(const_cast<std::int64_t*>(keys.data()));
      sites.n = 1, sites.w = static_cast<std::int32_t>(keys.size()), sites.stride_w = 1;
    }
  }
}

void CpuExecutor::execute(std::size_t index) {
  const Step& step = program_->steps[index];
  count(index);
  if (step.kind == Step::Kind::sites) return make_sites();
  const StepArgs& args = bound_[index].args;
  Job job{&step, &args, scratch_.raw(), scratch_stride_};
  if (step.kind == Step::Kind::rows) {
    pool_.run((args.output.w + kRowsOfTile - 1) / kRowsOfTile, run_rows, &job);
  } else {
    pool_.run(step.tiles(args), run_tiles, &job);
  }
}

void CpuExecutor::show(const Step& step, const Context::Hook& hook) const {
  for (const Completed& done : step.completes) {
    View view = resolve(done.slot);
    if (program_->slots[static_cast<std::size_t>(done.slot)].level < 0)
      view.n = static_cast<std::int32_t>(bound_batch_);
    hook(done.edge, view);
  }
}

bool CpuExecutor::run_bound(const Context::Hook* hook) {
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    execute(i);
    if (hook != nullptr) show(program_->steps[i], *hook);
  }
  return fault_ == 0;
}

bool CpuExecutor::run(const Tensor& input, Tensor& output, const Context::Hook* hook) {
  const FloatEnvironment environment;
  fault_ = 0;
  bind(input.raw(), input.shape()[0], output);
  return run_bound(hook);
}

bool CpuExecutor::run(const SparseTensor& input, Tensor& output, const Context::Hook* hook) {
  const FloatEnvironment environment;
  fault_ = 0;
  sparse_input_ = &input;
  bind(input.features.raw(), input.batch, output);
  return run_bound(hook);
}

bool CpuExecutor::run_timed(const Tensor& input, Tensor& output, const Context::StepTimer& timer) {
  const FloatEnvironment environment;
  fault_ = 0;
  bind(input.raw(), input.shape()[0], output);
  for (std::size_t i = 0; i < bound_.size(); ++i) timer(i, [this, i] { execute(i); });
  return fault_ == 0;
}

bool CpuExecutor::run_timed(const SparseTensor& input, Tensor& output, const Context::StepTimer& timer) {
  const FloatEnvironment environment;
  fault_ = 0;
  sparse_input_ = &input;
  bind(input.features.raw(), input.batch, output);
  for (std::size_t i = 0; i < bound_.size(); ++i) timer(i, [this, i] { execute(i); });
  return fault_ == 0;
}

}  // namespace

std::unique_ptr<Executor> make_cpu_executor(std::shared_ptr<const Program> program, ThreadPool& pool) {
  return std::make_unique<CpuExecutor>(std::move(program), pool);
}

}  // namespace octet
