#include "calib/equalise.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "runtime/error.h"

namespace octet::calib {
namespace {

constexpr int kRounds = 20;

bool lets_factors_pass(Op op) {
  return op == Op::relu || op == Op::max_pool || op == Op::avg_pool || op == Op::global_avg_pool || op == Op::flatten;
}

Parameter* parameter_of(Node& node, std::string_view key) {
  const auto found = std::ranges::find(node.parameters, key, &Parameter::key);
  return found == node.parameters.end() ? nullptr : &*found;
}

struct Pair {
  int first, second;  // node indices
};

// The layer that alone reads `layer`'s output, through operations that let factors pass; -1: none.
int partner_of(const Graph& graph, const Node& layer) {
  EdgeId edge = layer.output;
  while (edge != graph.output_edge()) {
    const std::vector<int> users = graph.consumers(edge);
    if (users.size() != 1) return -1;
    const Node& next = graph.nodes()[static_cast<std::size_t>(users[0])];
    if (has_weights(next.op)) return users[0];
    if (!lets_factors_pass(next.op)) return -1;
    edge = next.output;
  }
  return -1;
}

// Calls use(channel, weight) for every weight of the layer, with the input channel of `channels` that it multiplies.
template <class Use>
void for_each_input(Node& layer, std::size_t channels, const Use& use) {
  Parameter& weight = *parameter_of(layer, "weight");
  const auto values = weight.value.span<float>();
  const auto outputs = static_cast<std::size_t>(weight.shape[0]);
  const std::size_t per_output = values.size() / outputs;
  const std::size_t groups = static_cast<std::size_t>(layer.groups), in_group = channels / groups;
  const std::size_t per_channel = per_output / in_group;  // a kernel's taps, or the pixels that a flatten laid out
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (layer.op == Op::sparse_conv) {  // channels last
      use(i % channels, values[i]);
      continue;
    }
    const std::size_t group = i / per_output / (outputs / groups);
    use(group * in_group + i % per_output / per_channel, values[i]);
  }
}

std::vector<float> largest_outputs(Node& layer) {
  Parameter& weight = *parameter_of(layer, "weight");
  std::vector<float> largest(static_cast<std::size_t>(weight.shape[0]));
  const auto values = weight.value.span<float>();
  const std::size_t per_output = values.size() / largest.size();
  for (std::size_t i = 0; i < values.size(); ++i) {
    largest[i / per_output] = std::max(largest[i / per_output], std::fabs(values[i]));
  }
  return largest;
}

// Returns whether a factor other than 1 was applied.
bool equalise_pair(Node& first, Node& second) {
  const std::vector<float> out = largest_outputs(first);
  std::vector<float> in(out.size()), factor(out.size(), 1.0f);
  for_each_input(second, out.size(), [&](std::size_t c, float& w) { in[c] = std::max(in[c], std::fabs(w)); });
  bool changed = false;
  for (std::size_t c = 0; c < out.size(); ++c) {
    if (out[c] == 0 || in[c] == 0) continue;
    // Truncated towards 1, so that two layers do not pass a factor of 2 to and fro.
    const double exponent = 0.5 * std::log2(static_cast<double>(out[c]) / static_cast<double>(in[c]));
    factor[c] = static_cast<float>(std::exp2(std::clamp(std::trunc(exponent), -30.0, 30.0)));
    changed |= factor[c] != 1.0f;
  }
  if (!changed) return false;
  Parameter& weight = *parameter_of(first, "weight");
  const std::size_t per_output = static_cast<std::size_t>(weight.value.elements()) / out.size();
  for (std::size_t i = 0; i < out.size() * per_output; ++i) weight.value.span<float>()[i] /= factor[i / per_output];
  if (Parameter* bias = parameter_of(first, "bias")) {
    for (std::size_t c = 0; c < out.size(); ++c) bias->value.span<float>()[c] /= factor[c];
  }
  for_each_input(second, out.size(), [&](std::size_t c, float& w) { w *= factor[c]; });
  return true;
}

}  // namespace

Equalised equalise(const Graph& folded) {
  Equalised result{folded, {}};
  Graph& graph = result.graph;
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (!has_weights(node.op)) continue;
    const int partner = partner_of(graph, node);
    if (partner < 0) continue;
    pairs.push_back({static_cast<int>(i), partner});
    result.pairs.push_back(fmt::format("{} -> {}", node.name, graph.nodes()[static_cast<std::size_t>(partner)].name));
  }
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {  // tensors share memory when a graph is copied
    for (Parameter& p : graph.node(static_cast<int>(i)).parameters) p.value = p.value.clone();
  }
  bool changed = true;
  for (int round = 0; round < kRounds && changed; ++round) {
    changed = false;
    for (const Pair& pair : pairs) changed |= equalise_pair(graph.node(pair.first), graph.node(pair.second));
  }
  return result;
}

}  // namespace octet::calib
