#include "calib/lowering.h"

#include <algorithm>
#include <cmath>

#include "runtime/arithmetic.h"
#include "runtime/custom_op.h"
#include "runtime/error.h"
#include "runtime/float_environment.h"
#include "runtime/functions.h"
#include "runtime/weight_scan.h"

namespace octet::calib {
namespace {

std::int64_t macs_of(const Node& node, const Shape& input, const Shape& output) {
  if (!has_weights(node.op)) return 0;
  const Shape& w = node.parameter("weight").shape();
  if (node.op == Op::conv_transpose2d) return input[1] * input[2] * w.elements();  // each input meets every weight
  if (node.op == Op::sparse_conv) return w.elements();
  const std::int64_t per_output = w.elements() / w[0];
  return output.elements() * per_output;
}

// What PyTorch computes for 127 / amax when amax is a tensor: reciprocal() * 127, with two roundings, not one.
float notebook_scale(float amax) { return 1.0f / amax * 127.0f; }

QNode geometry_of(const Node& node) {
  return {.name = node.name,
          .op = node.op,
          .window = node.window,
          .sparse = node.sparse,
          .inverse_of = node.inverse_of,
          .groups = node.groups,
          .ceil_mode = node.ceil_mode,
          .count_include_pad = node.count_include_pad,
          .alpha = node.alpha,
          .beta = node.beta,
          .custom = node.custom};
}

// A batch-norm that could not be folded, as one multiplication and one addition a channel.
void set_affine(QNode& node, const Node& norm) {
  const Shape channels = norm.parameter("weight").shape();
  node.weight = Tensor(DType::f32, channels);
  node.bias = Tensor(DType::f32, channels);
  for (std::size_t c = 0; c < static_cast<std::size_t>(channels.elements()); ++c) {
    const auto at = [&](const char* key) { return static_cast<double>(norm.parameter(key).span<float>()[c]); };
    const double g = at("weight") / std::sqrt(at("running_var") + static_cast<double>(norm.eps));
    node.weight.span<float>()[c] = static_cast<float>(g);
    node.bias.span<float>()[c] = static_cast<float>(at("bias") - at("running_mean") * g);
  }
}

}  // namespace

Lowering::Lowering(const Graph& folded, const Ranges* ranges, Ignored ignored)
    : graph_(folded), ranges_(ranges), ignored_(std::move(ignored)) {
  params_.resize(graph_.edges().size());
  notebook_scale_.resize(graph_.edges().size());
  forms_.resize(graph_.edges().size());
  done_.resize(graph_.nodes().size());
  result_.name = graph_.name();
}

// Observed edges have their ranges; pools and flattens hand theirs on, forwards and, where only the far side was
// observed (calibrating behind the pool), backwards.
void Lowering::spread_ranges() {
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const EdgeRange* range = ranges_->find(graph_.edges()[i].observer);
    if (graph_.edges()[i].observer.empty() || range == nullptr) continue;
    params_[i] = range->quant;
    notebook_scale_[i] = notebook_scale(range->amax);
  }
  const auto hand_on = [&](EdgeId from, EdgeId to) {
    const auto f = static_cast<std::size_t>(from), t = static_cast<std::size_t>(to);
    if (!params_[f] || params_[t]) return;
    params_[t] = params_[f];
    notebook_scale_[t] = notebook_scale_[f];
  };
  const auto& nodes = graph_.nodes();
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    if (moves_values(node->op) && graph_.consumers(node->inputs[0]).size() == 1) hand_on(node->output, node->inputs[0]);
  }
  for (const Node& node : nodes) {
    if (!moves_values(node.op) || !params(node.inputs[0])) continue;
    params_[static_cast<std::size_t>(node.output)].reset();  // observed on both sides: bytes pass through unchanged
    hand_on(node.inputs[0], node.output);
  }
}

EdgeId Lowering::add_edge(EdgeId source, bool quantised) {
  const Edge& from = graph_.edges()[static_cast<std::size_t>(source)];
  QEdge edge{.name = from.name, .shape = from.shape, .quantised = quantised};
  if (quantised) {
    edge.quant = *params(source);
    edge.notebook_scale = notebook_scale_[static_cast<std::size_t>(source)];
  } else {
    edge.observer = from.observer;
  }
  result_.edges.push_back(std::move(edge));
  const auto id = static_cast<EdgeId>(result_.edges.size()) - 1;
  (quantised ? forms(source).integer : forms(source).real) = id;
  return id;
}

EdgeId Lowering::need_real(EdgeId edge) {
  if (forms(edge).real >= 0) return forms(edge).real;
  const EdgeId from = forms(edge).integer;
  QNode node{.name = graph_.edges()[static_cast<std::size_t>(edge)].name + ".dequantise",
             .op = Op::dequantise,
             .inputs = {from}};
  node.output = add_edge(edge, false);
  result_.nodes.push_back(std::move(node));
  return forms(edge).real;
}

EdgeId Lowering::need_integer(EdgeId edge) {
  if (forms(edge).integer >= 0) return forms(edge).integer;
  const EdgeId from = forms(edge).real;
  QNode node{
      .name = graph_.edges()[static_cast<std::size_t>(edge)].name + ".quantise", .op = Op::quantise, .inputs = {from}};
  node.output = add_edge(edge, true);
  result_.nodes.push_back(std::move(node));
  return forms(edge).integer;
}

// A ReLU or ReLU6 that is the only user of the node's unobserved output becomes part of it. Returns the edge after it.
EdgeId Lowering::fused_activation(const Node& node, Activation& activation) {
  const bool can = has_weights(node.op) || node.op == Op::add;
  const Edge& edge = graph_.edges()[static_cast<std::size_t>(node.output)];
  const std::vector<int> users = graph_.consumers(node.output);
  if (!can || users.size() != 1 || !edge.observer.empty() || node.output == graph_.output_edge()) return node.output;
  const Node& next = graph_.nodes()[static_cast<std::size_t>(users[0])];
  if (next.op != Op::relu && next.op != Op::relu6) return node.output;
  activation = next.op == Op::relu ? Activation::relu : Activation::relu6;
  done_[static_cast<std::size_t>(users[0])] = true;
  return next.output;
}

// Rule 13: the network's output, or a part of it when that is a concat (the maps of several heads).
bool Lowering::leaves_as_float(EdgeId edge) const {
  if (edge == graph_.output_edge()) return true;
  const std::vector<int> users = graph_.consumers(edge);
  return !users.empty() && std::ranges::all_of(users, [&](int user) {
    const Node& next = graph_.nodes()[static_cast<std::size_t>(user)];
    return next.op == Op::concat && next.output == graph_.output_edge() && !params(next.output);
  });
}

// Empty when the layer can be INT8 as far as ranges and names go.
std::string Lowering::why_float(const Node& node, EdgeId output) const {
  if (ranges_ == nullptr) return "fp32 was asked for";
  if (node.op == Op::batch_norm) return "a batch-norm that no convolution could take in";
  if (node.op == Op::relu || node.op == Op::relu6) return "an activation by itself";
  if (node.op == Op::mul || node.op == Op::softmax) return fmt::format("{} has no integer form", name_of(node.op));
  if (node.op != Op::flatten) {  // which computes nothing, and which no expression can name
    if (const auto reason = ignored_(node.name)) return *reason;
  }
  for (const EdgeId input : node.inputs) {
    if (!params(input))
      return fmt::format("its input {} has no range", graph_.edges()[static_cast<std::size_t>(input)].name);
  }
  const bool real_output = has_weights(node.op) && leaves_as_float(output);
  if (!params(output) && !real_output && node.op != Op::concat) return "its output has no range";
  if (node.op == Op::custom) {
    std::vector<QuantParams> inputs;
    for (const EdgeId input : node.inputs) inputs.push_back(*params(input));
    if (!node.custom->integer(inputs, *params(output)))
      return fmt::format("{} has no integer form here", node.custom->name());
  }
  return "";
}

// Rule 10: where a concat's output was not observed, the smallest range that holds those of all its inputs serves. A
// dead input adds nothing (its step of 1 means nothing). One input's parameters are kept as they are where they do.
QuantParams Lowering::concat_params(const Node& node) {
  QuantParams widest = *params(node.inputs[0]);
  double low = 0, high = 0;
  for (const EdgeId input : node.inputs) {
    const QuantParams& q = *params(input);
    if (q.dead) continue;
    if (widest.dead || q.step > widest.step) widest = q;
    low = std::min(low, static_cast<double>(q.step) * (q.lo - q.zero));
    high = std::max(high, static_cast<double>(q.step) * (q.hi - q.zero));
  }
  const double step = widest.step;
  const bool holds_all = low >= step * (widest.lo - widest.zero) && high <= step * (widest.hi - widest.zero);
  if (widest.dead || holds_all) return widest;
  const auto amax = static_cast<float>(std::max(-low, high));
  return quant_params(ranges_->scheme, ranges_->reduce_range, amax, static_cast<float>(low), static_cast<float>(high),
                      ranges_->num_bits);
}

void Lowering::notebook_weights(QNode& node, const Node& source, EdgeId output) {
  const auto weight = source.parameter("weight").span<float>();
  const float scale_in = notebook_scale_[static_cast<std::size_t>(source.inputs[0])];
  const float amax = amax_of(weight);
  require(amax > 0, "{}: all weights are 0; the notebook's scale 127 / max would be infinite", source.name);
  require(params(output).has_value(), "{}: the notebook requantises every layer; its output has no range", source.name);
  node.notebook_weight_scale = notebook_scale(amax);
  const float scale_bias = node.notebook_weight_scale * scale_in;
  const auto to_integer = [](float x, float limit) {
    return arithmetic::round_even(arithmetic::clamp(x, -limit, limit));
  };
  for (std::size_t i = 0; i < weight.size(); ++i) {
    node.weight.span<std::int8_t>()[i] =
        static_cast<std::int8_t>(to_integer(weight[i] * node.notebook_weight_scale, 127));
  }
  for (std::size_t c = 0; c < node.bias_q.size(); ++c) {
    const float bias = source.has("bias") ? source.parameter("bias").span<float>()[c] : 0.0f;
    node.bias_q[c] = to_integer(bias * scale_bias, 32767);
    node.weight_step[c] = arithmetic::symmetric_step(amax);
  }
}

// What rounding the weights takes from the mean of the channel's sums: sum of (w - step * v) * mean of w's input.
double Lowering::bias_correction(const Node& source, std::size_t channel, const QNode& node) const {
  const auto found = ranges_->input_means.find(source.name);
  if (found == ranges_->input_means.end() || source.op == Op::sparse_conv) return 0;
  const std::vector<float>& means = found->second;
  const Tensor& weight = source.parameter("weight");
  const auto outputs = static_cast<std::size_t>(weight.shape()[0]), groups = static_cast<std::size_t>(source.groups);
  const std::size_t per_output = static_cast<std::size_t>(weight.elements()) / outputs;
  require(means.size() % groups == 0 && per_output % (means.size() / groups) == 0,
          "{}: the ranges hold {} input means, which do not fit its weights of {}", source.name, means.size(),
          weight.shape().str());
  const std::size_t in_group = means.size() / groups, taps = per_output / in_group;
  const std::size_t first = channel / (outputs / groups) * in_group, offset = channel * per_output;
  double lost = 0;
  for (std::size_t i = 0; i < per_output; ++i) {
    const double kept = static_cast<double>(node.weight_step[channel]) * node.weight.span<std::int8_t>()[offset + i];
    lost += (weight.span<float>()[offset + i] - kept) * static_cast<double>(means[first + i / taps]);
  }
  // A transposed convolution's outputs meet the weights in turns: one channel's bias can mend their mean.
  if (source.op == Op::conv_transpose2d) lost /= static_cast<double>(source.window.stride_h * source.window.stride_w);
  return lost;
}

// Rules 3, 4, 5. False, with the reason in node.why, when an accumulator could overflow.
bool Lowering::integer_weights(QNode& node, const Node& source, EdgeId output) {
  const Tensor& weight = source.parameter("weight");
  const std::int64_t channels = weight.shape()[0];
  const auto per_channel = static_cast<std::size_t>(weight.elements() / channels);
  const QuantParams& in = *params(source.inputs[0]);
  node.weight = Tensor(DType::s8, weight.shape());
  node.bias_q.assign(static_cast<std::size_t>(channels), 0);
  node.weight_step.assign(static_cast<std::size_t>(channels), 1.0f);
  const bool notebook = ranges_->preset == Preset::notebook;
  if (notebook) notebook_weights(node, source, output);

  const auto bias_of = [&](std::size_t c) {
    return source.has("bias") ? source.parameter("bias").span<float>()[c] : 0.0f;
  };
  const auto of_channel = [&](std::size_t c) { return weight.span<float>().subspan(c * per_channel, per_channel); };
  const bool per_tensor = ranges_->weights == Granularity::tensor;
  const float amax = amax_of(weight.span<float>());
  const auto limits = ranges_->weight_amax.find(source.name);
  require(limits == ranges_->weight_amax.end() || limits->second.size() == node.weight_step.size(),
          "{}: the ranges hold the amax of {} channels of its weights, it has {}", source.name,
          limits == ranges_->weight_amax.end() ? 0 : limits->second.size(), channels);
  const auto channel_amax = [&](std::size_t c) {
    return limits == ranges_->weight_amax.end() ? amax_of(of_channel(c)) : limits->second[c];
  };
  const float largest_bias = source.has("bias") ? amax_of(source.parameter("bias").span<float>()) : 0.0f;
  for (std::size_t c = 0; !notebook && c < node.weight_step.size(); ++c) {
    node.weight_step[c] = per_tensor ? arithmetic::weight_step(amax, largest_bias, in.step)
                                     : arithmetic::weight_step(channel_amax(c), bias_of(c), in.step);
    const float inverse = arithmetic::inverse_step(node.weight_step[c]);
    quantise_weights(of_channel(c), inverse, node.weight.span<std::int8_t>().subspan(c * per_channel, per_channel));
    const auto bias = static_cast<float>(bias_of(c) + bias_correction(source, c, node));
    node.bias_q[c] = static_cast<std::int32_t>(arithmetic::quantise_bias(bias, in.step, node.weight_step[c]));
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    if (!std::isfinite(node.weight_step[static_cast<std::size_t>(c)])) {
      node.why = fmt::format("the bias of channel {} is too large for any step", c);
      return false;
    }
    const std::int64_t bound = accumulator_bound(node, in, c);
    if (bound < (std::int64_t{1} << 31)) continue;
    node.why = fmt::format("the accumulator of channel {} could reach {}, beyond 31 bits", c, bound);
    return false;
  }
  return true;
}

// Tries to make `node` an INT8 layer; false (with node.why set) when it has to be float.
bool Lowering::integer_layer(QNode& node, const Node& source, EdgeId output) {
  node.why = why_float(source, output);
  if (!node.why.empty()) return false;
  if (has_weights(source.op) && !integer_weights(node, source, output)) return false;
  if (source.op == Op::concat && !params(output)) params_[static_cast<std::size_t>(output)] = concat_params(source);
  // A pool computes in whatever its input already is: integers made only for it would cost time and gain nothing.
  if (moves_values(source.op) && forms(source.inputs[0]).integer < 0) {
    node.why = "its input is float";
    return false;
  }
  const bool real_output = has_weights(source.op) && !params(output);
  if (real_output && node.activation != Activation::none) {
    node.why = "its output has no range";
    return false;
  }
  node.precision = Precision::int8;
  if (is_function(source.op)) {
    node.table = function_table(source.op, source.alpha, source.beta, *params(source.inputs[0]), *params(output));
  }
  for (const EdgeId input : source.inputs) node.inputs.push_back(need_integer(input));
  node.output = add_edge(output, !real_output);
  return true;
}

void Lowering::lower(const Node& source) {
  QNode node = geometry_of(source);
  const EdgeId output = fused_activation(source, node.activation);
  const auto shape = [&](EdgeId edge) { return graph_.edges()[static_cast<std::size_t>(edge)].shape; };
  node.macs = macs_of(source, shape(source.inputs[0]), shape(source.output));
  if (!integer_layer(node, source, output)) {
    node.precision = Precision::fp32;
    node.weight = {}, node.bias_q.clear(), node.weight_step.clear();
    for (const EdgeId input : source.inputs) node.inputs.push_back(need_real(input));
    if (has_weights(source.op)) {
      node.weight = source.parameter("weight");
      if (source.has("bias")) node.bias = source.parameter("bias");
    } else if (source.op == Op::batch_norm) {
      set_affine(node, source);
    }
    node.output = add_edge(output, false);
  }
  result_.nodes.push_back(std::move(node));
}

QGraph Lowering::run() {
  const FloatEnvironment environment;
  graph_.validate();
  if (ranges_ != nullptr) {
    spread_ranges();
    if (ranges_->preset == Preset::notebook) result_.requantisation = Requantisation::notebook;
  }
  result_.input = add_edge(graph_.input_edge(), false);
  for (std::size_t i = 0; i < graph_.nodes().size(); ++i) {
    if (!done_[i]) lower(graph_.nodes()[i]);
  }
  result_.output = need_real(graph_.output_edge());
  result_.validate();
  return std::move(result_);
}

}  // namespace octet::calib
