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
  program_ = kernels::plan(model.network, options);
  context_ = std::make_unique<Context>(program_, pool_);
  maps_ = context_->host_tensor(DType::f32, Shape{1, maps[0], maps[1], maps[2]});
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
    result.boxes = boxes_of(maps(), config_, result.decoded);
    result.stages_ms.emplace_back("decode", milliseconds(Clock::now() - before));
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
  std::vector<std::pair<std::string, double>> stages = {{"rulebooks", 0}, {"encoder", 0}, {"neck", 0}, {"heads", 0}};
  context_->run_timed(voxels_, maps_, [&](std::size_t index, const std::function<void()>& execute) {
    const Step& step = program_->steps[index];
    const std::string stage = step.kind == Step::Kind::sites ? "rulebooks" : stage_of(step.name);
    const auto before = Clock::now();
    execute();
    for (auto& [name, ms] : stages) {
      if (name == stage) ms += milliseconds(Clock::now() - before);
    }
  });
  result.stages_ms.insert(result.stages_ms.end(), stages.begin(), stages.end());
}

}  // namespace octet::models
