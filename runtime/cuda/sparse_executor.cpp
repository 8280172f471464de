// CUDA, sparse networks: from the sites' keys to the output without a word from the host. How many sites each level has
// is known on the device alone, so everything is laid out for `capacity` sites of each level, kernels read the true
// numbers there, and the numbers come back with the output. A frame that has more than there was room for is run again
// with more room; frames soon stop growing.
//
// The frame's keys and features are copied in their true size; all else is one graph per batch size.
#ifdef OCTET_HAS_CUDA
#include <algorithm>
#include <cstring>

#include "runtime/arena.h"
#include "runtime/cuda/constants.h"
#include "runtime/cuda/memory.h"
#include "runtime/cuda/sites_memory.h"
#include "runtime/error.h"
#include "runtime/executor.h"

namespace octet {
namespace {

using namespace cuda;

constexpr std::size_t kAlignment = 256;
std::size_t aligned(std::size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }
std::size_t bytes_of(const Tensor& like) {
  return static_cast<std::size_t>(like.shape().elements()) * static_cast<std::size_t>(size_of(like.dtype()));
}

class CudaSparseExecutor final : public Executor {
 public:
  explicit CudaSparseExecutor(std::shared_ptr<const Program> program);

  bool run(const Tensor&, Tensor&, const Context::Hook*) override { fail("a sparse network takes no dense tensor"); }
  bool run_timed(const Tensor&, Tensor&, const Context::StepTimer&) override {
    fail("a sparse network takes no dense tensor");
  }
  bool run(const SparseTensor& input, Tensor& output, const Context::Hook* hook) override;
  bool run_timed(const SparseTensor& input, Tensor& output, const Context::StepTimer& timer) override;
  const SparseGeometry* geometry() const override;
  Tensor host_tensor(DType type, const Shape& shape) const override;
  std::size_t memory_bytes() const override { return device_.size() + staging_.size(); }

 private:
  void lay_out();
  View resolve(int slot) const;
  void bind();
  const std::int32_t* rows_of(const Step& step) const;
  void set_batch(std::int64_t n);
  void launch(std::size_t step);
  void copy_out(std::int64_t n);
  void upload(const SparseTensor& input);
  void make_sites(const SparseTensor& input);
  bool grow();
  bool finish(Tensor& output);
  void show(const Completed& done, const Context::Hook& hook);

  std::shared_ptr<const Program> program_;
  Stream stream_;
  std::vector<std::int64_t> capacity_;  // of each level
  SitesMemory sites_;
  SitesTask sites_task_;
  DeviceMemory device_;  // arena | workspace | input's features | rows of sites | sites | status, output
  // The status comes back with the output: s32 [1 + levels], the fault flag and each level's number of sites.
  std::size_t status_bytes_ = 0;
  PinnedMemory staging_;  // status, output | number of sites, keys, features
  std::byte *workspace_ = nullptr, *features_ = nullptr, *rows_ = nullptr, *status_ = nullptr;
  std::size_t feature_bytes_ = 0, output_bytes_ = 0;  // of one site, of one frame
  std::vector<ArenaBlock> blocks_;
  std::vector<Bound> bound_;
  std::vector<std::unique_ptr<LaunchGraph>> recorded_;  // [n - 1]
  std::vector<std::byte> shown_;                        // what a hook sees
  mutable std::unique_ptr<SparseGeometry> geometry_;    // fetched when asked for
  bool has_run_ = false;
};

CudaSparseExecutor::CudaSparseExecutor(std::shared_ptr<const Program> program)
    : Executor(program->steps.size()), program_(std::move(program)) {
  const Program& p = *program_;
  p.constants->upload(p);
  capacity_ = SitesMemory::first_capacity(p.sparse, p.sites);
  status_bytes_ = aligned((1 + capacity_.size()) * sizeof(std::int32_t));
  feature_bytes_ = static_cast<std::size_t>(p.input_like.shape()[0]) * sizeof(float);
  output_bytes_ = bytes_of(p.output_like);
  bound_.resize(p.steps.size());
  recorded_.resize(static_cast<std::size_t>(p.batch));
  lay_out();
}

// All memory for capacity_, and the steps' views into it. What was recorded is void.
void CudaSparseExecutor::lay_out() {
  const Program& p = *program_;
  std::ranges::fill(recorded_, nullptr);
  sites_ = SitesMemory(p.graph.name, p.sparse, p.batch, capacity_);
  blocks_.clear();
  for (const SparseBlock& b : p.sparse_blocks)
    blocks_.push_back({b.bytes_per_row * capacity_[static_cast<std::size_t>(b.level)], b.first, b.last});
  std::size_t workspace = 0;
  for (const Step& step : p.steps) workspace = std::max(workspace, step.scratch_bytes);
  const auto sites = static_cast<std::size_t>(capacity_[0]), batch = static_cast<std::size_t>(p.batch);
  const std::size_t arena = aligned(p.arena_bytes), features = aligned(sites * feature_bytes_);
  const std::size_t rows = aligned(static_cast<std::size_t>(place_blocks(blocks_)) + View::kReadableBeyond);
  const std::size_t out = status_bytes_ + aligned(batch * output_bytes_);
  const std::string what = fmt::format("the activations of {} for {} sites", p.graph.name, capacity_[0]);
  device_ = {}, staging_ = {};  // first: both at once may not fit
  device_ = allocate_device(arena + aligned(workspace) + features + rows + aligned(sites_.bytes()) + out, what);
  staging_ = allocate_pinned(out + kAlignment + sites * (sizeof(std::int64_t) + feature_bytes_), what);
  workspace_ = device_.data() + arena;
  features_ = workspace_ + aligned(workspace);
  rows_ = features_ + features;
  std::byte* const sites_memory = rows_ + rows;
  status_ = sites_memory + aligned(sites_.bytes());
  sites_.place(sites_memory, reinterpret_cast<std::int32_t*>(status_) + 1);
  sites_task_ = sites_.task();
  bind();
}

View CudaSparseExecutor::resolve(int index) const {
  const Slot& slot = program_->slots[static_cast<std::size_t>(index)];
  View view = slot.view;
  if (slot.level >= 0) {
    view.w = static_cast<std::int32_t>(capacity_[static_cast<std::size_t>(slot.level)]);
    view.data = slot.block < 0 ? features_ : rows_ + blocks_[static_cast<std::size_t>(slot.block)].offset + slot.offset;
  } else {
    view.data = slot.place == Place::arena ? device_.data() + slot.offset : status_ + status_bytes_ + slot.offset;
  }
  return view;
}

void CudaSparseExecutor::bind() {
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    const Step& step = program_->steps[i];
    Bound& bound = bound_[i];
    bound.inputs.clear();
    if (step.kind == Step::Kind::sites) {
      bound.args = {};
      bound.args.params = &sites_task_;
      continue;
    }
    for (const int input : step.inputs) bound.inputs.push_back(resolve(input));
    if (step.rulebook >= 0) {
      const SitesMap& m = sites_.map(step.rulebook);
      View map{.data = reinterpret_cast<std::byte*>(m.map), .type = DType::s32, .n = 1};
      map.w = sites_.level(m.to).capacity, map.c = static_cast<std::int32_t>(sites_.taps(step.rulebook));
      map.stride_w = 1, map.stride_c = map.w;
      bound.inputs.push_back(map);
    }
    if (step.site_level >= 0) {
      const SitesLevel& level = sites_.level(step.site_level);
      View keys{.data = reinterpret_cast<std::byte*>(level.keys), .type = DType::s64, .n = 1};
      keys.w = level.capacity, keys.stride_w = 1;
      bound.inputs.push_back(keys);
    }
    bound.args = {bound.inputs.data(), static_cast<std::int32_t>(bound.inputs.size()), resolve(step.output),
                  program_->constants->params(i), reinterpret_cast<std::int32_t*>(status_)};
  }
}

// Where the number of sites that a step runs over stands.
const std::int32_t* CudaSparseExecutor::rows_of(const Step& step) const {
  if (step.kind == Step::Kind::sites) return nullptr;
  const int made = program_->slots[static_cast<std::size_t>(step.output)].level;
  const int level = step.site_level >= 0 ? step.site_level : made;
  return level < 0 ? nullptr : sites_.level(level).rows;
}

void CudaSparseExecutor::set_batch(std::int64_t n) {
  const auto set = [&](View& view, int slot) {
    if (program_->slots[static_cast<std::size_t>(slot)].level < 0) view.n = static_cast<std::int32_t>(n);
  };
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    const Step& step = program_->steps[i];
    if (step.kind == Step::Kind::sites) continue;
    for (std::size_t k = 0; k < step.inputs.size(); ++k) set(bound_[i].inputs[k], step.inputs[k]);
    set(bound_[i].args.output, step.output);
  }
}

void CudaSparseExecutor::launch(std::size_t index) {
  const Step& step = program_->steps[index];
  const GpuLaunch launch{stream_.get(), &program_->gpu, workspace_, step.config, rows_of(step)};
  const auto error = static_cast<cudaError_t>(step.launch(bound_[index].args, launch));
  if (error != cudaSuccess) check(error, fmt::format("{}: {} ({})", program_->graph.name, step.name, step.variant));
}

void CudaSparseExecutor::copy_out(std::int64_t n) {
  const std::size_t size = status_bytes_ + static_cast<std::size_t>(n) * output_bytes_;
  check(cudaMemcpyAsync(staging_.data(), status_, size, cudaMemcpyDeviceToHost, stream_.get()), "copying the output");
}

// The frame's keys, features and their number, through pinned memory.
void CudaSparseExecutor::upload(const SparseTensor& input) {
  if (input.rows() > capacity_[0] || device_.size() == 0) {
    require(input.rows() < kMostCells, "{}: {} sites", program_->graph.name, input.rows());
    capacity_[0] = std::max(capacity_[0], input.rows() + input.rows() / 4);
    lay_out();
  }
  const auto rows = static_cast<std::int32_t>(input.rows());
  const std::size_t keys = input.keys.size() * sizeof(std::int64_t), features = input.features.bytes();
  std::byte* const staged_rows =
      staging_.data() + status_bytes_ + aligned(static_cast<std::size_t>(program_->batch) * output_bytes_);
  std::byte* const staged = staged_rows + kAlignment;
  const auto copy = [&](void* to, const std::byte* from, std::size_t size) {
    if (size > 0) check(cudaMemcpyAsync(to, from, size, cudaMemcpyHostToDevice, stream_.get()), "copying the input");
  };
  std::memcpy(staged_rows, &rows, sizeof rows);
  copy(sites_.level(0).rows, staged_rows, sizeof rows);
  if (rows == 0) return;
  std::memcpy(staged, input.keys.data(), keys);
  std::memcpy(staged + keys, input.features.raw(), features);
  copy(sites_.level(0).keys, staged, keys);
  copy(features_, staged + keys, features);
}

// Whether a level had more sites than there was room for; then there is more room now.
bool CudaSparseExecutor::grow() {
  bool grown = false;
  std::vector<std::int32_t> rows(capacity_.size());
  std::memcpy(rows.data(), staging_.data() + sizeof(std::int32_t), rows.size() * sizeof(std::int32_t));
  for (std::size_t level = 0; level < rows.size(); ++level) {
    if (rows[level] <= capacity_[level]) continue;
    capacity_[level] = std::int64_t{rows[level]} + rows[level] / 4;
    grown = true;
  }
  if (grown) lay_out();
  return grown;
}

// Waits; false when the fault flag was set, which it then no longer is.
bool CudaSparseExecutor::finish(Tensor& output) {
  std::int32_t fault = 0;
  std::memcpy(&fault, staging_.data(), sizeof fault);
  if (fault != 0) check(cudaMemsetAsync(status_, 0, sizeof fault, stream_.get()), "clearing the fault flag");
  std::memcpy(output.raw(), staging_.data() + status_bytes_, output.bytes());
  has_run_ = true;
  geometry_.reset();
  return fault == 0;
}

bool CudaSparseExecutor::run(const SparseTensor& input, Tensor& output, const Context::Hook* hook) {
  if (hook != nullptr) {
    make_sites(input);
    for (std::size_t i = 0; i < bound_.size(); ++i) {
      const Step& step = program_->steps[i];
      if (step.kind != Step::Kind::sites) {
        count(i);
        launch(i);
      }
      if (step.completes.empty()) continue;
      stream_.synchronise(step.name);
      for (const Completed& done : step.completes) show(done, *hook);
    }
    copy_out(input.batch);
    stream_.synchronise(program_->graph.name);
    return finish(output);
  }
  do {
    upload(input);
    auto& graph = recorded_[static_cast<std::size_t>(input.batch - 1)];
    if (graph == nullptr) {
      stream_.synchronise("copying the input");
      set_batch(input.batch);
      graph = std::make_unique<LaunchGraph>(stream_, [&] {
        for (std::size_t i = 0; i < bound_.size(); ++i) launch(i);
        copy_out(input.batch);
      });
    }
    for (std::size_t i = 0; i < bound_.size(); ++i) count(i);
    graph->launch(stream_);
    stream_.synchronise(program_->graph.name);
  } while (grow());
  return finish(output);
}

// The first step by itself, until there is room for all that it makes: later steps are then run and shown once.
void CudaSparseExecutor::make_sites(const SparseTensor& input) {
  do {
    upload(input);
    set_batch(input.batch);
    for (std::size_t i = 0; i < bound_.size(); ++i) {
      if (program_->steps[i].kind != Step::Kind::sites) continue;
      count(i);
      launch(i);
    }
    copy_out(0);
    stream_.synchronise("making sites");
  } while (grow());
}

bool CudaSparseExecutor::run_timed(const SparseTensor& input, Tensor& output, const Context::StepTimer& timer) {
  make_sites(input);  // (so that the timed steps find room)
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    timer(i, [this, i] {
      count(i);
      launch(i);
      stream_.synchronise(program_->steps[i].name);
    });
  }
  copy_out(input.batch);
  stream_.synchronise(program_->graph.name);
  return finish(output);
}

// Calls the hook with a copy of the activation, from its first to its last byte.
void CudaSparseExecutor::show(const Completed& done, const Context::Hook& hook) {
  View view = resolve(done.slot);
  const int level = program_->slots[static_cast<std::size_t>(done.slot)].level;
  if (level >= 0) {
    std::memcpy(&view.w, staging_.data() + (1 + static_cast<std::size_t>(level)) * sizeof view.w, sizeof view.w);
  } else {
    view.n = bound_.back().args.output.n;
  }
  const std::int64_t last = (view.n - 1) * view.stride_n + (view.h - 1) * view.stride_h + (view.w - 1) * view.stride_w +
                            (view.c - 1) * view.stride_c;
  shown_.resize(view.w == 0 ? 1 : static_cast<std::size_t>((last + 1) * size_of(view.type)));
  if (view.w > 0)
    check(cudaMemcpy(shown_.data(), view.data, shown_.size(), cudaMemcpyDeviceToHost), "copying an activation");
  view.data = shown_.data();
  hook(done.edge, view);
}

const SparseGeometry* CudaSparseExecutor::geometry() const {
  if (!has_run_) return nullptr;
  if (geometry_ == nullptr) {
    geometry_ = std::make_unique<SparseGeometry>(program_->sparse);
    sites_.fetch(*geometry_);
  }
  return geometry_.get();
}

Tensor CudaSparseExecutor::host_tensor(DType type, const Shape& shape) const {
  const std::size_t size = static_cast<std::size_t>(shape.elements()) * static_cast<std::size_t>(size_of(type));
  auto memory = std::make_shared<PinnedMemory>(allocate_pinned(std::max<std::size_t>(size, 1), "host tensors"));
  return Tensor(type, shape, memory->data(), memory);
}

}  // namespace

std::unique_ptr<Executor> make_cuda_sparse_executor(std::shared_ptr<const Program> program) {
  return std::make_unique<CudaSparseExecutor>(std::move(program));
}

}  // namespace octet
#endif
