#include "calib/fold.h"

#include <cmath>

#include "runtime/error.h"
#include "runtime/float_environment.h"

namespace octet::calib {
namespace {

struct Affine {
  double g, shift;  // w' = w * g, b' = b * g + shift
};

Affine affine_of(const Node& norm, std::size_t c, FoldArithmetic arithmetic) {
  const float gamma = norm.parameter("weight").span<float>()[c], beta = norm.parameter("bias").span<float>()[c];
  const float mean = norm.parameter("running_mean").span<float>()[c],
              var = norm.parameter("running_var").span<float>()[c];
  if (arithmetic == FoldArithmetic::notebook) {
    const float g = gamma / std::sqrt(var + norm.eps);
    const float product = mean * g;
    return {g, beta - product};
  }
  const double g = static_cast<double>(gamma) / std::sqrt(static_cast<double>(var) + static_cast<double>(norm.eps));
  return {g, static_cast<double>(beta) - static_cast<double>(mean) * g};
}

float multiply(float w, const Affine& a, FoldArithmetic arithmetic) {
  return arithmetic == FoldArithmetic::notebook ? w * static_cast<float>(a.g)
                                                : static_cast<float>(static_cast<double>(w) * a.g);
}

float shift_bias(float b, const Affine& a, FoldArithmetic arithmetic) {
  if (arithmetic != FoldArithmetic::notebook) return static_cast<float>(static_cast<double>(b) * a.g + a.shift);
  const float product = b * static_cast<float>(a.g);
  return product + static_cast<float>(a.shift);
}

// The layer with the batch-norm's effect in its weight and bias. Tensors share memory on copy, so new ones are made.
Node folded(const Node& layer, const Node& norm, FoldArithmetic arithmetic) {
  Node result = layer;
  const Tensor& weight = layer.parameter("weight");
  const std::int64_t channels = weight.shape()[0];
  const std::int64_t per_channel = weight.elements() / channels;
  Tensor new_weight = weight.clone();
  Tensor new_bias = layer.has("bias") ? layer.parameter("bias").clone() : Tensor(DType::f32, Shape{channels});
  for (std::int64_t c = 0; c < channels; ++c) {
    const Affine a = affine_of(norm, static_cast<std::size_t>(c), arithmetic);
    require(std::isfinite(a.g) && std::isfinite(a.shift),
            "{}: channel {} cannot be folded: gamma / sqrt(running_var + eps) is not finite", norm.name, c);
    for (float& w : new_weight.span<float>().subspan(static_cast<std::size_t>(c * per_channel),
                                                     static_cast<std::size_t>(per_channel))) {
      w = multiply(w, a, arithmetic);
    }
    float& b = new_bias.span<float>()[static_cast<std::size_t>(c)];
    b = shift_bias(b, a, arithmetic);
  }
  result.parameters = {{"weight", weight.shape(), new_weight}, {"bias", Shape{channels}, new_bias}};
  return result;
}

// The batch-norm that can be folded into node `index`, or -1.
int foldable_norm(const Graph& graph, int index) {
  const Node& node = graph.nodes()[static_cast<std::size_t>(index)];
  if (!has_weights(node.op)) return -1;
  const Edge& edge = graph.edges()[static_cast<std::size_t>(node.output)];
  const std::vector<int> users = graph.consumers(node.output);
  if (users.size() != 1 || node.output == graph.output_edge() || !edge.observer.empty()) return -1;
  return graph.nodes()[static_cast<std::size_t>(users[0])].op == Op::batch_norm ? users[0] : -1;
}

}  // namespace

Graph fold_batch_norm(const Graph& graph, FoldArithmetic arithmetic) {
  const FloatEnvironment environment;
  Graph result(graph.name());
  std::vector<EdgeId> edge_map(graph.edges().size(), -1);
  const auto carry_over = [&](EdgeId from, EdgeId to) {
    edge_map[static_cast<std::size_t>(from)] = to;
    const std::string& observer = graph.edges()[static_cast<std::size_t>(from)].observer;
    if (!observer.empty()) result.observe(to, observer);
  };
  const Edge& input = graph.edges()[static_cast<std::size_t>(graph.input_edge())];
  carry_over(graph.input_edge(),
             input.level < 0 ? result.input(input.name, input.shape)
                             : result.sparse_input(input.name, static_cast<int>(input.shape[0]), grid_of(input.shape)));

  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (edge_map[static_cast<std::size_t>(node.output)] >= 0) continue;  // a batch-norm that was folded already
    const int norm = foldable_norm(graph, static_cast<int>(i));
    Node copy = norm < 0 ? node : folded(node, graph.nodes()[static_cast<std::size_t>(norm)], arithmetic);
    for (EdgeId& edge : copy.inputs) edge = edge_map[static_cast<std::size_t>(edge)];
    const EdgeId replaced = norm < 0 ? node.output : graph.nodes()[static_cast<std::size_t>(norm)].output;
    carry_over(replaced, result.append(std::move(copy)));
  }
  result.set_output(edge_map[static_cast<std::size_t>(graph.output_edge())]);
  return result;
}

}  // namespace octet::calib
