// CUDA, sparse networks: from the sites' keys to the output without a word from the host. How many sites each level has
// is known on the device alone, so everything is laid out for `capacity` sites of each level, kernels read the true
// numbers there, and the numbers come back with the output. A frame that has more than there was room for is run again
// with more room; frames soon stop growing.
//
// What the frame consists of (keys and features, or points, of which the first step makes keys and features) is copied
// in its true size; all else is one graph per batch size.
#ifdef OCTET_HAS_CUDA
#include <algorithm>
#include <cstring>

#include "runtime/arena.h"
#include "runtime/cuda/constants.h"
#include "runtime/cuda/memory.h"
#include "runtime/cuda/pieces.h"
#include "runtime/cuda/voxel_memory.h"
#include "runtime/error.h"
#include "runtime/executor.h"

namespace octet {
namespace {

using namespace cuda;

constexpr std::int64_t kPointsOfSite = 4;  // what a Context makes room for at first
std::size_t bytes_of(const Tensor& like) {
  return static_cast<std::size_t>(like.shape().elements()) * static_cast<std::size_t>(size_of(like.dtype()));
}

// Not of the steps that say where the sites are.
bool computes(const Step& step) { return step.kind == Step::Kind::kernel || step.kind == Step::Kind::rows; }

class CudaSparseExecutor final : public Executor {
 public:
  explicit CudaSparseExecutor(std::shared_ptr<const Program> program);

  bool run(const Tensor&, Tensor&, const Context::Hook*) override { fail("a sparse network takes no dense tensor"); }
  bool run_timed(const Tensor&, Tensor&, const Context::StepTimer&) override {
    fail("a sparse network takes no dense tensor");
  }
  bool run(const SparseTensor& input, Tensor& output, const Context::Hook* hook) override;
  bool run_timed(const SparseTensor& input, Tensor& output, const Context::StepTimer& timer) override;
  bool run(PointClouds clouds, Tensor& output, const Context::Hook* hook, VoxelCounts& counts) override;
  bool run_timed(PointClouds clouds, Tensor& output, const Context::StepTimer& timer, VoxelCounts& counts) override;
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
  void upload(PointClouds clouds);
  void copy_in(void* to, const void* from, std::size_t size);
  // Of either kind of input, for `n` frames.
  template <class Input>
  bool run_any(const Input& input, std::int64_t n, Tensor& output, const Context::Hook* hook);
  template <class Input>
  bool run_any_timed(const Input& input, std::int64_t n, Tensor& output, const Context::StepTimer& timer);
  template <class Input>
  void make_sites(const Input& input, std::int64_t n);
  bool grow();
  void count_voxels(VoxelCounts& counts) const;
  bool finish(Tensor& output);
  void show(const Completed& done, const Context::Hook& hook);

  std::shared_ptr<const Program> program_;
  Stream stream_;
  std::vector<std::int64_t> capacity_;  // of each level
  std::int64_t points_ = 0;             // that there is room for; 0 where sites come in
  SitesMemory sites_;
  SitesTask sites_task_;
  VoxelMemory voxels_;
  DeviceMemory device_;
  // The status comes back with the output: s32 [1 + levels], the fault flag and each level's number of sites, and the
  // VoxelTally.
  std::size_t status_bytes_ = 0;
  PinnedMemory staging_;
  std::byte *arena_ = nullptr, *workspace_ = nullptr, *features_ = nullptr, *rows_ = nullptr, *status_ = nullptr;
  std::byte* staged_input_ = nullptr;                 // behind the status and the output
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
  if (p.voxels) points_ = capacity_[0] * kPointsOfSite;
  status_bytes_ = aligned_size((1 + capacity_.size()) * sizeof(std::int32_t) + sizeof(VoxelTally));
  feature_bytes_ = static_cast<std::size_t>(p.input_like.shape()[0]) * sizeof(float);
  output_bytes_ = bytes_of(p.output_like);
  bound_.resize(p.steps.size());
  recorded_.resize(static_cast<std::size_t>(p.batch));
  lay_out();
}

// All memory for capacity_ and points_, and the steps' views into it. What was recorded is void.
void CudaSparseExecutor::lay_out() {
  const Program& p = *program_;
  std::ranges::fill(recorded_, nullptr);
  sites_ = SitesMemory(p.graph.name, p.sparse, p.batch, capacity_);
  if (p.voxels) voxels_ = VoxelMemory(*p.voxels, static_cast<int>(p.input_like.shape()[0]), p.batch, points_, sites_);
  blocks_.clear();
  for (const SparseBlock& b : p.sparse_blocks)
    blocks_.push_back({b.bytes_per_row * capacity_[static_cast<std::size_t>(b.level)], b.first, b.last});
  const std::int64_t row_bytes = place_blocks(blocks_) + View::kReadableBeyond;
  const auto sites = static_cast<std::size_t>(capacity_[0]), batch = static_cast<std::size_t>(p.batch);
  const std::size_t out = status_bytes_ + batch * output_bytes_;
  std::size_t workspace = 0;
  for (const Step& step : p.steps) workspace = std::max(workspace, step.scratch_bytes);

  const auto place = [&](std::byte* memory) {
    Pieces pieces(memory);
    const auto take = [&](std::size_t size) { return pieces.take<std::byte>(static_cast<std::int64_t>(size)); };
    arena_ = take(p.arena_bytes), workspace_ = take(workspace);
    features_ = take(sites * feature_bytes_), rows_ = take(static_cast<std::size_t>(row_bytes));
    std::byte* const sites_memory = take(sites_.bytes());
    std::byte* const voxels_memory = take(p.voxels ? voxels_.bytes() : 0);
    status_ = take(out);
    if (memory == nullptr) return pieces.used();
    auto* const counts = reinterpret_cast<std::int32_t*>(status_) + 1;
    sites_.place(sites_memory, counts);
    if (p.voxels) {
      voxels_.place(voxels_memory, sites_, reinterpret_cast<float*>(features_),
                    reinterpret_cast<VoxelTally*>(counts + capacity_.size()));
    }
    return pieces.used();
  };
  const std::string what = fmt::format("the activations of {} for {} sites", p.graph.name, capacity_[0]);
  device_ = {}, staging_ = {};  // first: both at once may not fit
  device_ = allocate_device(place(nullptr), what);
  place(device_.data());
  const std::size_t frame =
      p.voxels ? aligned_size((batch + 1) * sizeof(std::int32_t)) + static_cast<std::size_t>(points_) * feature_bytes_
               : aligned_size(sizeof(std::int32_t)) + sites * (sizeof(std::int64_t) + feature_bytes_);
  staging_ = allocate_pinned(aligned_size(out) + frame, what);
  staged_input_ = staging_.data() + aligned_size(out);
  sites_task_ = sites_.task();
  sites_task_.indexed = p.voxels.has_value();
  bind();
}

View CudaSparseExecutor::resolve(int index) const {
  const Slot& slot = program_->slots[static_cast<std::size_t>(index)];
  View view = slot.view;
  if (slot.level >= 0) {
    view.w = static_cast<std::int32_t>(capacity_[static_cast<std::size_t>(slot.level)]);
    view.data = slot.block < 0 ? features_ : rows_ + blocks_[static_cast<std::size_t>(slot.block)].offset + slot.offset;
  } else {
    view.data = slot.place == Place::arena ? arena_ + slot.offset : status_ + status_bytes_ + slot.offset;
  }
  return view;
}

void CudaSparseExecutor::bind() {
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    const Step& step = program_->steps[i];
    Bound& bound = bound_[i];
    bound.inputs.clear();
    if (!computes(step)) {
      bound.args = {};
      bound.args.params = step.kind == Step::Kind::sites ? static_cast<const void*>(&sites_task_) : &voxels_.task();
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
  if (!computes(step)) return nullptr;
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
    if (!computes(step)) continue;
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

// `from`: pinned, or small.
void CudaSparseExecutor::copy_in(void* to, const void* from, std::size_t size) {
  if (size > 0) check(cudaMemcpyAsync(to, from, size, cudaMemcpyHostToDevice, stream_.get()), "copying the input");
}

// The frame's keys, features and their number, through pinned memory.
void CudaSparseExecutor::upload(const SparseTensor& input) {
  if (input.rows() > capacity_[0] || device_.size() == 0) {
    require(input.rows() < kMostCells, "{}: {} sites", program_->graph.name, input.rows());
    capacity_[0] = std::max(capacity_[0], input.rows() + input.rows() / 4);
    lay_out();
  }
  const auto rows = static_cast<std::int32_t>(input.rows());
  std::memcpy(staged_input_, &rows, sizeof rows);
  copy_in(sites_.level(0).rows, staged_input_, sizeof rows);
  if (rows == 0) return;
  const std::size_t keys = input.keys.size() * sizeof(std::int64_t), features = input.features.bytes();
  std::byte* const staged = staged_input_ + aligned_size(sizeof rows);
  std::memcpy(staged, input.keys.data(), keys);
  std::memcpy(staged + keys, input.features.raw(), features);
  copy_in(sites_.level(0).keys, staged, keys);
  copy_in(features_, staged + keys, features);
}

// The clouds, one behind the other, and where each begins. Points that are in pinned memory stay where they are.
void CudaSparseExecutor::upload(PointClouds clouds) {
  const auto features = static_cast<std::int64_t>(feature_bytes_ / sizeof(float));
  std::vector<std::int32_t> first{0};
  for (const std::span<const float> cloud : clouds)
    first.push_back(first.back() + static_cast<std::int32_t>(static_cast<std::int64_t>(cloud.size()) / features));
  first.resize(static_cast<std::size_t>(program_->batch) + 1, first.back());  // the frames that are not there are empty
  if (first.back() > points_ || device_.size() == 0) {
    points_ = std::max<std::int64_t>(points_, first.back() + first.back() / 4);
    lay_out();
  }
  std::memcpy(staged_input_, first.data(), first.size() * sizeof(std::int32_t));
  copy_in(voxels_.first(), staged_input_, first.size() * sizeof(std::int32_t));
  std::byte* staged = staged_input_ + aligned_size(first.size() * sizeof(std::int32_t));
  auto* to = reinterpret_cast<std::byte*>(voxels_.points());
  for (const std::span<const float> cloud : clouds) {
    cudaPointerAttributes attributes{};
    const bool known = cudaPointerGetAttributes(&attributes, cloud.data()) == cudaSuccess;
    const void* from = cloud.data();
    if (!known || attributes.type != cudaMemoryTypeHost) {
      if (!cloud.empty()) std::memcpy(staged, cloud.data(), cloud.size_bytes());
      from = staged;
    }
    copy_in(to, from, cloud.size_bytes());
    staged += cloud.size_bytes(), to += cloud.size_bytes();
  }
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

void CudaSparseExecutor::count_voxels(VoxelCounts& counts) const {
  std::int32_t voxels = 0;
  VoxelTally tally;
  std::memcpy(&voxels, staging_.data() + sizeof(std::int32_t), sizeof voxels);
  std::memcpy(&tally, staging_.data() + (1 + capacity_.size()) * sizeof(std::int32_t), sizeof tally);
  counts.not_finite = tally.not_finite, counts.out_of_range = tally.out_of_range;
  counts.beyond_max = tally.beyond_max, counts.voxels = voxels, counts.dropped_voxels = tally.voxels - voxels;
}

template <class Input>
bool CudaSparseExecutor::run_any(const Input& input, std::int64_t n, Tensor& output, const Context::Hook* hook) {
  if (hook != nullptr) {
    make_sites(input, n);
    for (std::size_t i = 0; i < bound_.size(); ++i) {
      const Step& step = program_->steps[i];
      if (computes(step)) {
        count(i);
        launch(i);
      }
      if (step.completes.empty()) continue;
      stream_.synchronise(step.name);
      for (const Completed& done : step.completes) show(done, *hook);
    }
    copy_out(n);
    stream_.synchronise(program_->graph.name);
    return finish(output);
  }
  do {
    upload(input);
    auto& graph = recorded_[static_cast<std::size_t>(n - 1)];
    if (graph == nullptr) {
      stream_.synchronise("copying the input");
      set_batch(n);
      graph = std::make_unique<LaunchGraph>(stream_, [&] {
        for (std::size_t i = 0; i < bound_.size(); ++i) launch(i);
        copy_out(n);
      });
    }
    for (std::size_t i = 0; i < bound_.size(); ++i) count(i);
    graph->launch(stream_);
    stream_.synchronise(program_->graph.name);
  } while (grow());
  return finish(output);
}

// The first steps by themselves, until there is room for all that they make: later ones are then run and shown once.
template <class Input>
void CudaSparseExecutor::make_sites(const Input& input, std::int64_t n) {
  do {
    upload(input);
    set_batch(n);
    for (std::size_t i = 0; i < bound_.size(); ++i) {
      if (computes(program_->steps[i])) continue;
      count(i);
      launch(i);
    }
    copy_out(0);
    stream_.synchronise("making sites");
  } while (grow());
}

template <class Input>
bool CudaSparseExecutor::run_any_timed(const Input& input, std::int64_t n, Tensor& output,
                                       const Context::StepTimer& timer) {
  make_sites(input, n);  // (so that the timed steps find room)
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    timer(i, [this, i] {
      count(i);
      launch(i);
      stream_.synchronise(program_->steps[i].name);
    });
  }
  copy_out(n);
  stream_.synchronise(program_->graph.name);
  return finish(output);
}

bool CudaSparseExecutor::run(const SparseTensor& input, Tensor& output, const Context::Hook* hook) {
  return run_any(input, input.batch, output, hook);
}

bool CudaSparseExecutor::run_timed(const SparseTensor& input, Tensor& output, const Context::StepTimer& timer) {
  return run_any_timed(input, input.batch, output, timer);
}

bool CudaSparseExecutor::run(PointClouds clouds, Tensor& output, const Context::Hook* hook, VoxelCounts& counts) {
  const bool fine = run_any(clouds, static_cast<std::int64_t>(clouds.size()), output, hook);
  count_voxels(counts);
  return fine;
}

bool CudaSparseExecutor::run_timed(PointClouds clouds, Tensor& output, const Context::StepTimer& timer,
                                   VoxelCounts& counts) {
  const bool fine = run_any_timed(clouds, static_cast<std::int64_t>(clouds.size()), output, timer);
  count_voxels(counts);
  return fine;
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
