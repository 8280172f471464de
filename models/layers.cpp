#include "models/layers.h"

#include <algorithm>

namespace octet::models {

EdgeId conv_norm_act(Graph& graph, EdgeId x, const ConvNames& names, const ConvLayer& layer) {
  x = graph.conv2d(names.conv, x, layer.out, {layer.window, layer.groups, false});
  x = graph.batch_norm(names.norm, x, layer.eps);
  if (layer.activation == Activation::relu) x = graph.relu(names.activation, x);
  if (layer.activation == Activation::relu6) x = graph.relu6(names.activation, x);
  return graph.observe(x, names.conv);
}

EdgeId residual_add(Graph& graph, const std::string& name, EdgeId a, EdgeId b) {
  return graph.observe(graph.add(name, {a, b}), name);
}

EdgeId mean_features(Graph& graph, const std::string& name, EdgeId x) {
  return graph.flatten("flatten", graph.observe(graph.global_avg_pool(name, x), name));
}

int make_divisible(double channels, int divisor) {
  // The sum is cut to a whole number before it is divided, as the original does.
  int rounded = std::max(divisor, static_cast<int>(channels + divisor / 2.0) / divisor * divisor);
  if (rounded < 0.9 * channels) rounded += divisor;
  return rounded;
}

}  // namespace octet::models
