#include "calib/calibrate.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "calib/equalise.h"
#include "calib/fold.h"
#include "calib/quantise.h"
#include "runtime/custom_op.h"
#include "runtime/error.h"

namespace octet::calib {
namespace {

const Edge& edge_of(const Graph& graph, EdgeId edge) { return graph.edges()[static_cast<std::size_t>(edge)]; }
const Node& node_of(const Graph& graph, int index) { return graph.nodes()[static_cast<std::size_t>(index)]; }

// The edge to watch for an observer on `edge`: itself, or the output of the max-pool that alone uses it.
EdgeId watched_edge(const Graph& graph, EdgeId edge, bool after_pool) {
  const std::vector<int> users = graph.consumers(edge);
  if (!after_pool || users.size() != 1) return edge;
  const Node& next = node_of(graph, users[0]);
  return next.op == Op::max_pool ? next.output : edge;
}

// The observer whose range the edge will have: its own, or that of what a pool or a flatten hands on. Empty: none.
std::string observer_behind(const Graph& graph, EdgeId edge) {
  const Edge& e = edge_of(graph, edge);
  if (!e.observer.empty() || e.producer < 0) return e.observer;
  const Node& producer = node_of(graph, e.producer);
  return moves_values(producer.op) ? observer_behind(graph, producer.inputs[0]) : "";
}

std::vector<std::string> observers_of_inputs(const Graph& graph, const Node& node) {
  std::vector<std::string> names;
  for (const EdgeId input : node.inputs) names.push_back(observer_behind(graph, input));
  std::erase(names, "");
  return names;
}

}  // namespace

CalibrationOptions preset_options(Preset preset) {
  CalibrationOptions o;
  o.preset = preset;
  if (preset != Preset::none) o.weights = preset == Preset::x86 ? Granularity::channel : Granularity::tensor;
  if (preset == Preset::simple || preset == Preset::x86) {
    o.range.scheme = Scheme::affine, o.range.reduce_range = true;
    o.range.method = preset == Preset::simple ? Method::max : Method::histogram;
  }
  return o;
}

Calibrator::Calibrator(const Graph& graph, const CalibrationOptions& options, ThreadPool& pool)
    : options_(options), model_(graph.name()) {
  const bool notebook = options.preset == Preset::notebook;
  require(!notebook || options.range.scheme == Scheme::symmetric,
          "the notebook's arithmetic has no zero points: its preset needs the symmetric scheme");
  require(!notebook || (options.range.method == Method::max && options.range.rule.num_bits == 8),
          "the notebook's ranges are the largest magnitudes, in 8 bits: its preset needs the method max");
  kernels::PlanOptions plan_options;
  plan_options.batch = options.batch;
  plan_options.photo = options.photo;
  plan_options.keep_edges = true;
  require(!options.equalize || (options.fold_first && !notebook), "equalised weights are folded weights");
  require(!options.bias_correct || !notebook, "the notebook corrects no bias");
  // The notebook's ranges come from its own forward pass, in which batch-norm is a layer of its own.
  const QGraph network = options.equalize ? as_float(equalise(fold_batch_norm(graph)).graph)
                                          : as_float(graph, options.fold_first && !notebook);
  for (const QNode& node : network.nodes) {
    if (options.bias_correct && has_weights(node.op)) means_[node.inputs[0]].push_back({node.name, {}, {}, 0});
  }
  program_ = kernels::plan(network, plan_options);
  context_ = std::make_unique<Context>(program_, pool);

  for (std::size_t i = 0; i < graph.edges().size(); ++i) {
    const std::string& observer = graph.edges()[i].observer;
    if (observer.empty()) continue;
    watches_.push_back({observer, observers_.size(), wide_edge(graph, static_cast<EdgeId>(i))});
    const bool histogram = options.histograms && !notebook && options.range.method == Method::max;
    observers_.push_back(
        make_observer(histogram ? Method::mse : options.range.method, options.bins, notebook ? 1.0f : 0.0f));
  }
  require(!watches_.empty(), "{}: no edge is observed, so there is nothing to calibrate", model_);
  share_observers(graph);
  for (const auto& observer : observers_) blank_.push_back(observer->clone());
  for (const Watch& watch : watches_) {
    const EdgeId source = graph.observed(watch.name);
    const EdgeId edge = watched_edge(graph, source, options.after_pool);
    const auto found = std::ranges::find_if(network.edges, [&](const QEdge& e) {
      // Folding renames edges, but not a pool's.
      return edge != source ? e.name == edge_of(graph, edge).name : e.observer == watch.name;
    });
    watched_[static_cast<EdgeId>(found - network.edges.begin())].push_back(watch.observer);
  }
}

// One observer for all inputs of an add (or of a user's operation that wants it), and a list of the adds whose result
// follows from their inputs.
void Calibrator::share_observers(const Graph& graph) {
  for (const Node& node : graph.nodes()) {
    const bool share = node.op == Op::add ? options_.share_add_range : node.custom && node.custom->shares_input_range();
    if (node.op != Op::add && !share) continue;
    const std::vector<std::string> inputs = observers_of_inputs(graph, node);
    const auto index_of = [&](const std::string& name) {
      return std::ranges::find(watches_, name, &Watch::name)->observer;
    };
    for (std::size_t i = 1; share && i < inputs.size(); ++i) {
      const std::size_t keep = index_of(inputs[0]), drop = index_of(inputs[i]);
      for (Watch& watch : watches_) {  // chains of adds share along the chain
        if (watch.observer == drop) watch.observer = keep;
      }
    }
    if (node.op != Op::add || options_.observe_add_output || inputs.size() != node.inputs.size()) continue;
    EdgeId result = node.output;
    const std::vector<int> users = graph.consumers(result);
    const bool unobserved = edge_of(graph, result).observer.empty() && users.size() == 1;
    const bool relu = unobserved && node_of(graph, users[0]).op == Op::relu;
    if (relu) result = node_of(graph, users[0]).output;
    const std::string& observer = edge_of(graph, result).observer;
    if (!observer.empty()) sums_.push_back({observer, inputs, relu});
  }
}

Tensor Calibrator::observe(const Tensor& batch) { return observe_batch(batch, batch.shape()[0]); }
Tensor Calibrator::observe(const SparseTensor& batch) { return observe_batch(batch, batch.batch); }

template <class Batch>
Tensor Calibrator::observe_batch(const Batch& batch, std::int64_t images) {
  const auto dims = program_->output_like.shape().dims();
  std::vector<std::int64_t> shape{images};
  shape.insert(shape.end(), dims.begin(), dims.end());
  Tensor output(DType::f32, Shape(shape));
  const Context::Hook hook = [&](EdgeId edge, const View& view) {
    if (const auto layers = means_.find(edge); layers != means_.end()) {
      for (Means& means : layers->second) means.observe(view);
    }
    const auto found = watched_.find(edge);
    if (found == watched_.end()) return;
    for (const std::size_t observer : found->second) {
      try {
        observers_[observer]->observe(view);
      } catch (const Error& e) {
        fail("edge '{}': {}", std::ranges::find(watches_, observer, &Watch::observer)->name, e.what());
      }
    }
  };
  context_->run(batch, output, &hook);
  images_ += images;
  return output;
}

void Calibrator::Means::observe(const View& v) {
  std::vector<double> batch(static_cast<std::size_t>(v.c));
  for (std::int64_t n = 0; n < v.n; ++n) {
    for (std::int64_t y = 0; y < v.h; ++y) {
      for (std::int64_t x = 0; x < v.w; ++x) {
        for (std::int64_t c = 0; c < v.c; ++c) batch[static_cast<std::size_t>(c)] += *v.at<float>(n, y, x, c);
      }
    }
  }
  sums.resize(batch.size()), rests.resize(batch.size());
  count += std::int64_t{v.n} * v.h * v.w;
  for (std::size_t c = 0; c < batch.size(); ++c) add(c, batch[c]);
}

// Knuth's two-sum: sum + error is old + value exactly.
void Calibrator::Means::add(std::size_t channel, double value) {
  const double old = sums[channel], sum = old + value, part = sum - old;
  sums[channel] = sum;
  rests[channel] += (old - (sum - part)) + (value - part);
}

const Observer& Calibrator::observer(std::string_view name) const {
  const auto found = std::ranges::find(watches_, name, &Watch::name);
  require(found != watches_.end(), "{}: no observer is named '{}'", model_, name);
  return *observers_[found->observer];
}

// In the graph's order, so that a sum of sums is there before it is needed.
void Calibrator::sum_add_ranges(Ranges& ranges) const {
  for (const Sum& sum : sums_) {
    double low = 0, high = 0;
    for (const std::string& input : sum.inputs) {
      const EdgeRange& range = *ranges.find(input);
      const bool symmetric = options_.range.scheme == Scheme::symmetric;
      low += symmetric && range.min < 0 ? -range.amax : range.min;
      high += symmetric ? range.amax : range.max;
    }
    if (sum.non_negative) low = std::max(low, 0.0), high = std::max(high, 0.0);
    EdgeRange& range = *std::ranges::find(ranges.edges, sum.result, &EdgeRange::observer);
    range.min = static_cast<float>(low), range.max = static_cast<float>(high);
    range.amax = std::max(std::fabs(range.min), std::fabs(range.max));
    range.quant = quant_params(ranges.scheme, ranges.reduce_range, range.amax, range.min, range.max, ranges.num_bits);
  }
}

Ranges Calibrator::ranges() const {
  require(images_ > 0, "calibration saw no image");
  Ranges r;
  r.model = model_;
  r.method = name_of(options_.range.method);
  r.scheme = options_.range.scheme;
  r.preset = options_.preset;
  r.weights = options_.preset == Preset::notebook ? Granularity::tensor : options_.weights;
  r.num_bits = options_.range.rule.num_bits;
  r.reduce_range = options_.range.reduce_range;
  r.share_add_range = options_.share_add_range;
  r.add_observer = options_.observe_add_output ? "output" : "inputs";
  r.equalized = options_.equalize;
  for (const auto& [edge, layers] : means_) {
    for (const Means& means : layers) {
      require(means.count > 0, "calibration saw no input of '{}'", means.layer);
      std::vector<float>& of_layer = r.input_means[means.layer];
      for (std::size_t c = 0; c < means.sums.size(); ++c) {
        of_layer.push_back(static_cast<float>((means.sums[c] + means.rests[c]) / static_cast<double>(means.count)));
      }
    }
  }
  r.images = images_;
  for (const Watch& watch : watches_) {
    const Observer& seen = *observers_[watch.observer];
    r.edges.push_back(watch.wide ? choose_wide_range(watch.name, seen)
                                 : choose_range(watch.name, seen, options_.range));
  }
  sum_add_ranges(r);
  return r;
}

}  // namespace octet::calib
