// Each operation of dense networks as the ONNX operator that means it.
#include <algorithm>
#include <limits>

#include "runtime/arithmetic.h"
#include "runtime/error.h"
#include "runtime/onnx/exporter.h"
#include "runtime/onnx/range_metadata.h"

namespace octet::onnx {
namespace {

template <class T>
Tensor vector(const std::vector<T>& values) {
  return Tensor::of<T>(Shape{static_cast<std::int64_t>(values.size())}, std::span<const T>(values));
}

std::vector<Attribute> window_attributes(const QNode& node, bool dilated) {
  const Window& w = node.window;
  std::vector<Attribute> attributes{integers("kernel_shape", {w.kernel_h, w.kernel_w}),
                                    integers("strides", {w.stride_h, w.stride_w}),
                                    integers("pads", {w.pad_top, w.pad_left, w.pad_bottom, w.pad_right})};
  if (dilated) attributes.push_back(integers("dilations", {w.dilation_h, w.dilation_w}));
  if (node.op == Op::conv2d) attributes.push_back(integer("group", node.groups));
  if (node.ceil_mode) attributes.push_back(integer("ceil_mode", 1));
  if (node.count_include_pad) attributes.push_back(integer("count_include_pad", 1));
  return attributes;
}

// A border that is cut beyond the end is an output padding.
std::vector<Attribute> transposed_attributes(const QNode& node) {
  const Window& w = node.window;
  const auto cut = [](int pad) { return std::max(pad, 0); };
  return {integers("kernel_shape", {w.kernel_h, w.kernel_w}),
          integers("strides", {w.stride_h, w.stride_w}),
          integers("pads", {w.pad_top, w.pad_left, cut(w.pad_bottom), cut(w.pad_right)}),
          integers("output_padding", {cut(-w.pad_bottom), cut(-w.pad_right)}),
          integers("dilations", {w.dilation_h, w.dilation_w}),
          integer("group", node.groups)};
}

}  // namespace

// x * scale + shift as a batch-norm of mean 0, variance 1 and epsilon 0.
void Exporter::affine(const QNode& node) {
  const Shape channels = node.weight.shape();
  Tensor ones(DType::f32, channels);
  std::ranges::fill(ones.span<float>(), 1.0f);
  std::vector<std::string> inputs = inputs_of(node);
  inputs.push_back(weights(node.name + ".weight", node.weight));
  inputs.push_back(weights(node.name + ".bias", node.bias));
  inputs.push_back(weights(node.name + ".running_mean", Tensor(DType::f32, channels)));
  inputs.push_back(weights(node.name + ".running_var", ones));
  finish(node, "BatchNormalization", std::move(inputs), {real("epsilon", 0.0f)});
}

void Exporter::function(const QNode& node) {
  std::vector<std::string> inputs = inputs_of(node);
  switch (node.op) {
    case Op::relu:
      finish(node, "Relu", inputs);
      return;
    case Op::sigmoid:
      finish(node, "Sigmoid", inputs);
      return;
    case Op::leaky_relu:
      finish(node, "LeakyRelu", inputs, {real("alpha", node.alpha)});
      return;
    case Op::hard_sigmoid:
      finish(node, "HardSigmoid", inputs, {real("alpha", node.alpha), real("beta", node.beta)});
      return;
    case Op::relu6:
    case Op::clip: {
      const float low = node.op == Op::clip ? node.alpha : 0, high = node.op == Op::clip ? node.beta : 6;
      if (low == 0 && high == std::numeric_limits<float>::max()) {
        finish(node, "Relu", inputs);
        return;
      }
      inputs.push_back(weights(node.name + "_min", scalar(low)));
      inputs.push_back(weights(node.name + "_max", scalar(high)));
      finish(node, "Clip", inputs);
      return;
    }
    default:
      break;
  }
  if (options_.opset >= 14) {  // hard_swish
    finish(node, "HardSwish", inputs);
    return;
  }
  const std::string gate = reserve(node.name + "_gate");
  add("HardSigmoid", gate, inputs, gate, {real("alpha", 1.0f / 6), real("beta", 0.5f)});
  finish(node, "Mul", {inputs[0], gate});
}

void Exporter::upsample(const QNode& node) {
  const auto across = static_cast<float>(node.window.stride_w), down = static_cast<float>(node.window.stride_h);
  std::vector<std::string> inputs = inputs_of(node);
  inputs.push_back("");  // the region of interest, which nearest has no use for
  inputs.push_back(constant(node.name + "_scales", vector<float>({1, 1, down, across})));
  finish(
      node, "Resize", std::move(inputs),
      {text("mode", "nearest"), text("coordinate_transformation_mode", "asymmetric"), text("nearest_mode", "floor")});
}

void Exporter::pad(const QNode& node) {
  const Window& w = node.window;
  std::vector<std::string> inputs = inputs_of(node);
  const std::vector<std::int64_t> pads{0, 0, w.pad_top, w.pad_left, 0, 0, w.pad_bottom, w.pad_right};
  inputs.push_back(constant(node.name + "_pads", vector<std::int64_t>(pads)));
  finish(node, "Pad", std::move(inputs));
}

// As other layers', or behind DequantizeLinears of their own (ExportOptions::exact_sums).
std::vector<std::string> Exporter::inputs_of_sum(const QNode& node) {
  std::vector<std::string> inputs = inputs_of(node);
  if (!options_.exact_sums || node.precision != Precision::int8) return inputs;
  const double step = static_cast<double>(edge(node.output).quant.step);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const QEdge& in = edge(node.inputs[i]);
    const auto from = std::ranges::find_if(model_.nodes, [&](const NodeProto& n) { return n.outputs[0] == inputs[i]; });
    if (from == model_.nodes.end() || from->op_type != "DequantizeLinear") continue;  // moved by a pool
    const float ratio = arithmetic::add_multiplier(in.quant.step, edge(node.output).quant.step);
    const std::string own = reserve(fmt::format("{}.{}", node.name, i));
    const std::string scale = constant(own + "_scale", scalar(static_cast<float>(static_cast<double>(ratio) * step)));
    const std::string quantised = from->inputs[0], zero = from->inputs[2];
    add("DequantizeLinear", own, {quantised, scale, zero}, own);
    inputs[i] = own;
  }
  mark_exact_sums(model_);
  return inputs;
}

void Exporter::write(const QNode& node) {
  const bool computes = node.op != Op::quantise && node.op != Op::dequantise && node.weight.empty();
  if (computes && node.precision != Precision::int8) add_float_layer(model_, node.name);
  switch (node.op) {
    case Op::quantise:
      return quantise(node.name, tensors_[index(node.inputs[0])], node.output);
    case Op::dequantise:
      tensors_[index(node.output)] = tensors_[index(node.inputs[0])];
      return;
    case Op::conv2d:
      finish(node, "Conv", weighted_inputs(node), window_attributes(node, true));
      return;
    case Op::conv_transpose2d:
      finish(node, "ConvTranspose", weighted_inputs(node), transposed_attributes(node));
      return;
    case Op::linear:
      finish(node, "Gemm", weighted_inputs(node), {integer("transB", 1)});
      return;
    case Op::max_pool:
      finish(node, "MaxPool", inputs_of(node), window_attributes(node, true));
      return;
    case Op::avg_pool:
      finish(node, "AveragePool", inputs_of(node), window_attributes(node, false));
      return;
    case Op::global_avg_pool:
      finish(node, "GlobalAveragePool", inputs_of(node));
      return;
    case Op::flatten:
      finish(node, "Flatten", inputs_of(node), {integer("axis", 1)});
      return;
    case Op::add:
      finish(node, node.inputs.size() == 2 ? "Add" : "Sum", inputs_of_sum(node));
      return;
    case Op::concat:
      finish(node, "Concat", inputs_of(node), {integer("axis", 1)});
      return;
    case Op::mul:
      finish(node, "Mul", inputs_of(node));
      return;
    case Op::softmax:
      finish(node, "Softmax", inputs_of(node), {integer("axis", 1)});
      return;
    case Op::upsample:
      return upsample(node);
    case Op::pad:
      return pad(node);
    case Op::batch_norm:
      return affine(node);
    case Op::sparse_conv:
      return write_sparse(node);
    case Op::to_dense:
      return to_dense(node);
    case Op::relu:
    case Op::relu6:
    case Op::sigmoid:
    case Op::hard_sigmoid:
    case Op::hard_swish:
    case Op::leaky_relu:
    case Op::clip:
      return function(node);
    case Op::custom:
      break;
  }
  fail("{}: {} has no ONNX form", node.name, name_of(node.op));
}

}  // namespace octet::onnx
