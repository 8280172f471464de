#include "models/centerpoint/quantised_checkpoint.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/arithmetic.h"
#include "runtime/error.h"

namespace octet::models {
namespace {

constexpr std::string_view kInput = "._input_quantizer._amax", kWeight = "._weight_quantizer._amax";
constexpr std::string_view kModule = "module.", kQuantAdd = ".quant_add";

bool is_quantiser(std::string_view key) { return key.find("_quantizer.") != std::string_view::npos; }

std::string_view plain(std::string_view key) { return key.starts_with(kModule) ? key.substr(kModule.size()) : key; }

// Whether the encoder's blocks stand where a Sequential without batch-norms puts them.
bool is_folded(const StateDict& checkpoint) {
  for (const auto& [key, tensor] : checkpoint) {
    if (plain(key) == "backbone.conv2.2.conv1.weight") return true;
  }
  return false;
}

// "backbone.conv3.2.conv1.weight" -> "backbone.conv3.3.conv1.weight"
std::string official(std::string_view key, bool folded) {
  std::string name(plain(key));
  for (const std::string stage : {"backbone.conv2.", "backbone.conv3.", "backbone.conv4."}) {
    const std::size_t at = stage.size();
    if (!folded || !name.starts_with(stage) || name.size() < at + 2 || name[at + 1] != '.') continue;
    if (name[at] == '2' || name[at] == '3') ++name[at];
  }
  return name;
}

// The batch-norm behind a convolution; null: none.
const Node* norm_behind(const Graph& graph, const Node& conv) {
  for (const Node& node : graph.nodes()) {
    if (node.op == Op::batch_norm && node.inputs[0] == conv.output) return &node;
  }
  return nullptr;
}

// A batch-norm that adds `bias` and changes nothing else.
void insert_identity(StateDict& state, const Node& norm, const Tensor* bias) {
  const Shape& shape = norm.parameters.front().shape;
  const auto filled = [&](float value) {
    Tensor t(DType::f32, shape);
    for (float& x : t.span<float>()) x = value;
    return t;
  };
  state.insert(norm.name + ".weight", filled(1.0f));
  state.insert(norm.name + ".bias", bias != nullptr ? *bias : filled(0.0f));
  state.insert(norm.name + ".running_mean", filled(0.0f));
  state.insert(norm.name + ".running_var", filled(1.0f - norm.eps));
}

std::vector<float> amax_values(const std::string& key, const Tensor& tensor, std::int64_t most) {
  const Tensor real = tensor.to_f32();
  const auto values = real.span<float>();
  require(real.elements() == 1 || real.elements() == most, "{}: {} values; 1{} was expected", key, real.elements(),
          most > 1 ? fmt::format(" or {}", most) : "");
  for (const float v : values) require(std::isfinite(v) && v >= 0, "{}: the amax {}", key, v);
  return {values.begin(), values.end()};
}

class Collector {
 public:
  Collector(const StateDict& checkpoint, const Graph& graph) : graph_(graph) {
    const bool folded = is_folded(checkpoint);
    for (const auto& [key, tensor] : checkpoint) {
      std::string name = official(key, folded);
      if (name.ends_with("._amax") && is_quantiser(name))
        found_.insert(std::move(name), tensor);
      else if (name.ends_with(".running_mean"))
        norms_.insert(std::move(name));
    }
    ranges_.model = graph.name(), ranges_.method = "checkpoint", ranges_.partial = true;
  }

  std::optional<calib::Ranges> ranges() {
    if (found_.empty()) return std::nullopt;
    for (const Node& node : graph_.nodes()) {
      if (const Tensor* t = take(node.name + std::string(kInput))) add_edge(node.inputs[0], used_.back(), *t);
      if (const Tensor* t = take(node.name + std::string(kWeight))) add_weights(node, used_.back(), *t);
    }
    for (const Node& node : graph_.nodes()) {  // after the convolutions, whose ranges an add's other input keeps
      if (node.op != Op::add || !node.name.ends_with(".add")) continue;
      const std::string block = node.name.substr(0, node.name.size() - std::string_view(".add").size());
      const Tensor* t = take(block + std::string(kQuantAdd) + std::string(kInput));
      for (const EdgeId input : node.inputs) {
        if (t != nullptr) add_edge(input, used_.back(), *t);
      }
    }
    for (const auto& [key, tensor] : found_) {
      require(std::ranges::find(used_, key) != used_.end(), "{}: {} has no layer of that name", key, graph_.name());
    }
    return std::move(ranges_);
  }

 private:
  const Tensor* take(const std::string& key) {
    const Tensor* t = found_.find(key);
    if (t != nullptr) used_.push_back(key);
    return t;
  }

  // An edge that several layers read keeps the first one's range.
  void add_edge(EdgeId id, const std::string& key, const Tensor& tensor) {
    const float amax = amax_values(key, tensor, 1)[0];
    const Edge& edge = graph_.edges()[static_cast<std::size_t>(id)];
    if (edge.observer.empty() || ranges_.find(edge.observer) != nullptr) return;
    calib::EdgeRange range{.observer = edge.observer, .amax = amax, .min = -amax, .max = amax};
    if (wide_edge(graph_, id)) {
      range.quant.lo = -QuantParams::kWide, range.quant.hi = QuantParams::kWide;
      range.quant.dead = amax <= arithmetic::kDeadRange;
      range.quant.step = arithmetic::symmetric_step(amax, QuantParams::kWide);
    } else {
      range.quant = calib::quant_params(calib::Scheme::symmetric, false, amax, -amax, amax);
    }
    ranges_.edges.push_back(std::move(range));
  }

  // Weights whose batch-norm is still to be folded are other weights than these were measured on.
  void add_weights(const Node& node, const std::string& key, const Tensor& tensor) {
    const std::int64_t channels = node.parameters.front().shape[0];
    std::vector<float> amax = amax_values(key, tensor, channels);
    amax.resize(static_cast<std::size_t>(channels), amax.front());
    const Node* norm = norm_behind(graph_, node);
    if (norm == nullptr || !norms_.contains(norm->name + ".running_mean"))
      ranges_.weight_amax[node.name] = std::move(amax);
  }

  const Graph& graph_;
  StateDict found_;              // amax values, by their official keys
  std::set<std::string> norms_;  // statistics of batch-norms that are not folded
  std::vector<std::string> used_;
  calib::Ranges ranges_;
};

}  // namespace

StateDict without_quantisers(const StateDict& checkpoint, const Graph& graph) {
  const bool folded = is_folded(checkpoint);
  StateDict weights;
  for (const auto& [key, tensor] : checkpoint) {
    if (!is_quantiser(key)) weights.insert(official(key, folded), tensor);
  }
  if (!folded) return weights;
  StateDict added;
  std::set<std::string> moved;  // biases
  for (const Node& conv : graph.nodes()) {
    const Node* norm = norm_behind(graph, conv);
    if (norm == nullptr || weights.contains(norm->name + ".running_mean")) continue;
    const Tensor* bias = conv.has("bias") ? nullptr : weights.find(conv.name + ".bias");
    if (bias != nullptr) moved.insert(conv.name + ".bias");
    insert_identity(added, *norm, bias);
  }
  for (const auto& [key, tensor] : weights) {
    if (!moved.contains(key)) added.insert(key, tensor);
  }
  return added;
}

std::optional<calib::Ranges> ranges_in(const StateDict& checkpoint, const Graph& graph) {
  return Collector(checkpoint, graph).ranges();
}

}  // namespace octet::models
