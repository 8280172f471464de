// Activations, sums and products, softmax, concatenation.
#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/error.h"
#include "runtime/onnx/importer.h"

namespace octet::onnx {
namespace {

constexpr float kMost = std::numeric_limits<float>::max();

float scalar(const NodeProto& node, const Tensor& tensor) {
  require(tensor.elements() == 1, "{}: a limit of shape {}; one number was expected", node.str(), tensor.shape().str());
  const float value = tensor.to_f32().span<float>()[0];
  require(!std::isnan(value), "{}: a limit is NaN", node.str());
  return std::clamp(value, -kMost, kMost);
}

}  // namespace

// Behind a layer that takes it in, an activation of its own; elsewhere the function, which INT8 has a table for.
void Importer::relu(const NodeProto& node) {
  inputs_between(node, 1, 1);
  Attributes(node).finish();
  const EdgeId x = edge(node, 0);
  const int producer = graph_.edges()[static_cast<std::size_t>(x)].producer;
  const Op maker = producer < 0 ? Op::quantise : graph_.nodes()[static_cast<std::size_t>(producer)].op;
  const bool taken_in = has_weights(maker) || maker == Op::add || maker == Op::batch_norm;
  Node made{.name = layer_name(node), .op = Op::relu, .inputs = {x}};
  if (!taken_in) made.op = Op::clip, made.alpha = 0, made.beta = kMost;
  define(node, append(std::move(made)));
}

void Importer::clip(const NodeProto& node) {
  inputs_between(node, 1, 3);
  Attributes attributes(node);
  float low = -kMost, high = kMost;
  if (model_.opset() < 11) {
    low = attributes.real("min", low), high = attributes.real("max", high);
  } else {
    if (has_input(node, 1)) low = scalar(node, constant(node, 1, "lower limit"));
    if (has_input(node, 2)) high = scalar(node, constant(node, 2, "upper limit"));
  }
  attributes.finish();
  Node made{.name = layer_name(node), .op = Op::clip, .inputs = {edge(node, 0)}, .alpha = low, .beta = high};
  const int producer = graph_.edges()[static_cast<std::size_t>(made.inputs[0])].producer;
  const Op maker = producer < 0 ? Op::quantise : graph_.nodes()[static_cast<std::size_t>(producer)].op;
  const bool taken_in = has_weights(maker) || maker == Op::add || maker == Op::batch_norm;
  if (taken_in && low == 0 && (high == 6 || high == kMost)) {
    made.op = high == 6 ? Op::relu6 : Op::relu;
    made.alpha = made.beta = 0;
  }
  define(node, append(std::move(made)));
}

void Importer::function(const NodeProto& node) {
  inputs_between(node, 1, 1);
  Attributes attributes(node);
  Node made{.name = layer_name(node), .op = Op::sigmoid, .inputs = {edge(node, 0)}};
  if (node.op_type == "HardSigmoid") {
    made.op = Op::hard_sigmoid;
    made.alpha = attributes.real("alpha", 0.2f), made.beta = attributes.real("beta", 0.5f);
  } else if (node.op_type == "HardSwish") {
    made.op = Op::hard_swish;
  } else if (node.op_type == "LeakyRelu") {
    made.op = Op::leaky_relu;
    made.alpha = attributes.real("alpha", 0.01f);
  }
  require(std::isfinite(made.alpha) && std::isfinite(made.beta), "{}: its attributes are not finite", node.str());
  attributes.finish();
  define(node, append(std::move(made)));
}

// One constant operand: the same for every pixel of a channel, or for everything.
void Importer::with_constant(const NodeProto& node, EdgeId x, const Tensor& value, bool constant_first) {
  const Shape& in = shape(x);
  const auto channels = static_cast<std::size_t>(in[0]);
  const Tensor real = value.to_f32();
  const auto given = real.span<float>();
  // [C] lies along the last axis: the channels only of [N, C]. [C,1,1] and [1,C,1,1] lie along the channels.
  const Shape& s = value.shape();
  const int rank = s.rank();
  const bool per_channel = in.rank() == 1 ? rank >= 1 && s[rank - 1] == in[0]
                                          : rank >= 3 && s[rank - 3] == in[0] && s[rank - 2] == 1 && s[rank - 1] == 1;
  require(given.size() == 1 || (per_channel && given.size() == channels),
          "{}: a constant of {} with an activation of {}: one number, or one a channel, is supported", node.str(),
          s.str(), in.str());
  std::vector<float> scale(channels, 1.0f), shift(channels, 0.0f);
  for (std::size_t c = 0; c < channels; ++c) {
    const float v = given[given.size() == 1 ? 0 : c];
    if (node.op_type == "Add") shift[c] = v;
    if (node.op_type == "Sub") shift[c] = constant_first ? v : -v, scale[c] = constant_first ? -1.0f : 1.0f;
    if (node.op_type == "Mul") scale[c] = v;
    if (node.op_type == "Div") scale[c] = 1.0f / v;
    require(std::isfinite(scale[c]) && std::isfinite(shift[c]), "{}: its constant holds {}", node.str(), v);
  }
  require(node.op_type != "Div" || !constant_first, "{}: a constant divided by an activation is not supported",
          node.str());
  define(node, scale_shift(node, x, std::move(scale), std::move(shift)));
}

void Importer::arithmetic(const NodeProto& node) {
  inputs_between(node, 2, 2);
  Attributes(node).finish();
  const bool first = is_constant(node.inputs[0]), second = is_constant(node.inputs[1]);
  if (first != second) {
    return with_constant(node, edge(node, first ? 1 : 0), constant(node, first ? 0 : 1, "constant"), first);
  }
  require(!first, "{}: both operands are constants, which is not supported", node.str());
  const EdgeId a = edge(node, 0), b = edge(node, 1);
  if (node.op_type == "Add") {
    require(shape(a) == shape(b), "{}: adds {} and {}; equal shapes are supported", node.str(), shape(a).str(),
            shape(b).str());
    return define(node, append({.name = layer_name(node), .op = Op::add, .inputs = {a, b}}));
  }
  require(node.op_type == "Mul", "{}: {} of two activations is not supported, only Add and Mul", node.str(),
          node.op_type);
  const bool swap = shape(a).elements() < shape(b).elements();
  define(node, append({.name = layer_name(node), .op = Op::mul, .inputs = {swap ? b : a, swap ? a : b}}));
}

void Importer::sum(const NodeProto& node) {
  inputs_between(node, 1, 256);
  Attributes(node).finish();
  if (node.inputs.size() == 1) return alias(node);
  // One sum of up to eight (what a kernel takes); longer ones go on from it.
  constexpr std::size_t kTerms = 8;
  EdgeId total = -1;
  for (std::size_t i = 0; i < node.inputs.size();) {
    Node made{.name = layer_name(node), .op = Op::add};
    if (total >= 0) made.inputs.push_back(total);
    while (i < node.inputs.size() && made.inputs.size() < kTerms) made.inputs.push_back(edge(node, i++));
    total = append(std::move(made));
  }
  define(node, total);
}

void Importer::softmax(const NodeProto& node) {
  inputs_between(node, 1, 1);
  const EdgeId x = edge(node, 0);
  Attributes attributes(node);
  const std::size_t rank = static_cast<std::size_t>(shape(x).rank()) + 1;
  const std::int64_t axis = axis_in(node, attributes.integer("axis", model_.opset() < 13 ? 1 : -1), rank);
  attributes.finish();
  // Before operator set 13 everything from the axis on was one vector.
  const bool one_pixel = shape(x).rank() == 1 || shape(x)[1] * shape(x)[2] == 1;
  require(axis == 1 && (one_pixel || model_.opset() >= 13),
          "{}: a softmax along axis {}; along the channels (1) it is "
          "supported",
          node.str(), axis);
  define(node, append({.name = layer_name(node), .op = Op::softmax, .inputs = {x}}));
}

void Importer::concat(const NodeProto& node) {
  inputs_between(node, 1, 4096);
  Attributes attributes(node);
  const std::int64_t axis = attributes.integer("axis", 1);
  attributes.finish();
  if (std::ranges::all_of(node.inputs, [&](const std::string& name) { return is_constant(name); })) {
    std::vector<std::int64_t> all;  // a shape, put together
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const Tensor& part = constant(node, i, "part");
      require(part.shape().rank() == 1 && axis == 0 && all.size() < 64, "{}: only shapes are put together like this",
              node.str());
      const auto values = integers_of(node, part);
      all.insert(all.end(), values.begin(), values.end());
    }
    const Shape size{static_cast<std::int64_t>(all.size())};
    return define_constant(node, Tensor::of<std::int64_t>(size, std::span<const std::int64_t>(all)));
  }
  if (node.inputs.size() == 1) return alias(node);
  Node made{.name = layer_name(node), .op = Op::concat};
  for (std::size_t i = 0; i < node.inputs.size(); ++i) made.inputs.push_back(edge(node, i));
  const std::size_t rank = static_cast<std::size_t>(shape(made.inputs[0]).rank()) + 1;
  require(axis_in(node, axis, rank) == 1, "{}: along axis {}; concatenation along the channels (1) is supported",
          node.str(), axis);
  define(node, append(std::move(made)));
}

}  // namespace octet::onnx
