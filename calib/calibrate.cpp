#include "calib/calibrate.h"

#include <algorithm>

#include "calib/quantise.h"
#include "runtime/error.h"

namespace octet::calib {
namespace {

// The edge to watch for an observer on `edge`: itself, or the output of the max-pool that alone uses it.
EdgeId watched_edge(const Graph& graph, EdgeId edge, bool after_pool) {
  const std::vector<int> users = graph.consumers(edge);
  if (!after_pool || users.size() != 1) return edge;
  const Node& next = graph.nodes()[static_cast<std::size_t>(users[0])];
  return next.op == Op::max_pool ? next.output : edge;
}

}  // namespace

Calibrator::Calibrator(const Graph& graph, const CalibrationOptions& options, ThreadPool& pool)
    : options_(options), model_(graph.name()) {
  require(options.preset != Preset::notebook || options.scheme == Scheme::symmetric,
          "the notebook's arithmetic has no zero points: its preset needs the symmetric scheme");
  kernels::PlanOptions plan_options;
  plan_options.batch = options.batch;
  plan_options.photo = options.photo;
  plan_options.keep_edges = true;
  // The notebook's ranges come from its own forward pass, in which batch-norm is a layer of its own.
  const bool fold = options.fold_first && options.preset != Preset::notebook;
  const QGraph network = as_float(graph, fold);
  program_ = kernels::plan(network, plan_options);
  context_ = std::make_unique<Context>(program_, pool);

  const float floor = options.preset == Preset::notebook ? 1.0f : 0.0f;
  for (std::size_t i = 0; i < graph.edges().size(); ++i) {
    const std::string& observer = graph.edges()[i].observer;
    if (observer.empty()) continue;
    const EdgeId edge = watched_edge(graph, static_cast<EdgeId>(i), options.after_pool);
    const std::string& name = graph.edges()[static_cast<std::size_t>(edge)].name;
    order_.push_back(observer);
    observers_.emplace(observer, AbsMaxObserver(floor));
    const bool moved = edge != static_cast<EdgeId>(i);
    const auto found = std::ranges::find_if(network.edges, [&](const QEdge& e) {
      return moved ? e.name == name : e.observer == observer;  // folding renames edges, but not a pool's
    });
    watched_[static_cast<EdgeId>(found - network.edges.begin())].push_back(observer);
  }
  require(!order_.empty(), "{}: no edge is observed, so there is nothing to calibrate", model_);
}

Tensor Calibrator::observe(const Tensor& batch) {
  const auto dims = program_->output_like.shape().dims();
  std::vector<std::int64_t> shape{batch.shape()[0]};
  shape.insert(shape.end(), dims.begin(), dims.end());
  Tensor output(DType::f32, Shape(shape));
  const Context::Hook hook = [&](EdgeId edge, const View& view) {
    const auto found = watched_.find(edge);
    if (found == watched_.end()) return;
    for (const std::string& observer : found->second) observers_.at(observer).observe(view);
  };
  context_->run(batch, output, &hook);
  images_ += batch.shape()[0];
  return output;
}

Ranges Calibrator::ranges() const {
  require(images_ > 0, "calibration saw no image");
  Ranges r;
  r.model = model_;
  r.scheme = options_.scheme;
  r.preset = options_.preset;
  r.weights = options_.preset == Preset::notebook ? Granularity::tensor : options_.weights;
  r.images = images_;
  for (const std::string& name : order_) {
    const AbsMaxObserver& o = observers_.at(name);
    require(o.count() > 0, "calibration saw no value of the edge '{}'", name);
    r.edges.push_back({name, o.amax(), o.min(), o.max(),
                       quant_params(options_.scheme, options_.reduce_range, o.amax(), o.min(), o.max())});
  }
  return r;
}

}  // namespace octet::calib
