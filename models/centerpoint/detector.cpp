#include "models/centerpoint/detector.h"

#include <algorithm>
#include <chrono>

#include "kernels/plan/plan.h"
#include "runtime/error.h"

namespace octet::models {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kFeatures = 5;
double milliseconds(Clock::duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

void add_to(Stages& stages, const std::string& stage, Clock::duration time) {
  for (auto& [name, ms] : stages) {
    if (name == stage) ms += milliseconds(time);
  }
}

const CenterPointConfig& config_of(const LoadedModel& model) {
  require(model.points.has_value(), "{} takes photos, not points", model.name);
  return *model.points;
}

}  // namespace

kernels::VoxelOptions voxel_options(const CenterPointConfig& config) {
  kernels::VoxelOptions o;
  o.low = {config.range[0], config.range[1], config.range[2]};
  o.size = config.voxel;
  o.grid = o.filled = config.grid();
  --o.filled.z;
  o.max_points = config.max_points;
  o.max_voxels = config.max_voxels;
  return o;
}

double Detection::total_ms() const {
  double sum = 0;
  for (const auto& [name, ms] : stages_ms) sum += ms;
  return sum;
}

std::string stage_of(const std::string& layer) {
  if (layer.starts_with("neck.")) return "neck";
  return layer.starts_with("bbox_head.") || layer.starts_with("maps") || layer.starts_with("output") ? "heads"
                                                                                                     : "encoder";
}

Detector::Detector(const LoadedModel& model, ThreadPool& pool, bool keep_edges)
    : config_(config_of(model)), pool_(pool), voxeliser_(voxel_options(config_)) {
  const HeadMaps heads = head_maps(config_);
  const Shape maps{heads.channels, config_.map_height(), config_.map_width()};
  const Shape& made = model.network.edges[static_cast<std::size_t>(model.network.output)].shape;
  require(made == maps, "{}: makes maps of {}, its configuration says {}", model.name, made.str(), maps.str());
  kernels::PlanOptions options;
  options.keep_edges = keep_edges;
  options.sites = std::min(config_.max_voxels, config_.grid().cells());
  if (!keep_edges && PeakHeads::refuse(model.network, config_).empty()) peaks_.emplace(model.network, config_);
  program_ = kernels::plan(peaks_ ? peaks_->network() : model.network, options);
  context_ = std::make_unique<Context>(program_, pool_);
  const Shape& out = program_->output_like.shape();
  maps_ = context_->host_tensor(DType::f32, Shape{1, out[0], out[1], out[2]});
}

Detection Detector::run(const Tensor& points, const Context::Hook* hook) {
  Detection result;
  const auto start = Clock::now();
  require(points.dtype() == DType::f32 && points.shape().rank() == 2 && points.shape()[1] == kFeatures,
          "points of {} {}: f32 [n, {}] was expected", name_of(points.dtype()), points.shape().str(), kFeatures);
  result.voxels = voxeliser_.run(points.span<float>(), kFeatures, pool_, voxels_);
  result.stages_ms.emplace_back("voxelise", milliseconds(Clock::now() - start));
  if (result.voxels.voxels > 0) {
    run_network(result, hook);
    const auto before = Clock::now();
    result.boxes = peaks_ ? peaks_->boxes(maps(), pool_, result.decoded) : boxes_of(maps(), config_, result.decoded);
    double decode = milliseconds(Clock::now() - before);
    if (peaks_) {  // part of the heads, however late
      result.stages_ms.back().second += peaks_->convolutions_ms();
      decode -= peaks_->convolutions_ms();
    }
    result.stages_ms.emplace_back("decode", decode);
  }
  return result;
}

void Detector::run_network(Detection& result, const Context::Hook* hook) {
  if (hook != nullptr) {
    const auto before = Clock::now();
    context_->run(voxels_, maps_, hook);
    result.stages_ms.emplace_back("network", milliseconds(Clock::now() - before));
    return;
  }
  Stages stages = {{"rulebooks", 0}, {"encoder", 0}, {"neck", 0}, {"heads", 0}};
  peaks_ ? run_peaks(stages) : run_whole(stages);
  result.stages_ms.insert(result.stages_ms.end(), stages.begin(), stages.end());
}

void Detector::run_whole(Stages& stages) {
  context_->run_timed(voxels_, maps_, [&](std::size_t index, const std::function<void()>& execute) {
    const Step& step = program_->steps[index];
    const auto before = Clock::now();
    execute();
    add_to(stages, step.kind == Step::Kind::sites ? "rulebooks" : stage_of(step.name), Clock::now() - before);
  });
}

// A hook sees the shared activation while it is there, and the clock behind every layer.
void Detector::run_peaks(Stages& stages) {
  auto before = Clock::now();
  const QGraph& network = program_->graph;
  const Context::Hook watch = [&](EdgeId edge, const View& view) {
    if (edge == peaks_->shared()) peaks_->keep(view);
    const auto now = Clock::now();
    const std::string& name = network.edges[static_cast<std::size_t>(edge)].name;
    add_to(stages, edge == network.input ? "rulebooks" : stage_of(name), now - before);
    before = now;
  };
  context_->run(voxels_, maps_, &watch);
  add_to(stages, "heads", Clock::now() - before);
}

}  // namespace octet::models
