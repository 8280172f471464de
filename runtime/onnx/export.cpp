// What every export has in common: names, tensors, Q and DQ, weights. The operators are export_layers.cpp and
// export_sparse.cpp.
#include "runtime/onnx/export.h"

#include <algorithm>
#include <cmath>

#include "runtime/error.h"
#include "runtime/onnx/exporter.h"
#include "runtime/onnx/range_metadata.h"

namespace octet::onnx {
namespace {

// TensorProto.DataType
constexpr std::int32_t kFloat = 1, kHalf = 10;

// The file format's version that came with an operator set.
std::int64_t ir_version(int opset) { return opset < 15 ? 7 : opset < 19 ? 8 : opset < 21 ? 9 : 10; }

template <class T>
Tensor one(DType type, T value) {
  Tensor tensor(type, Shape{});
  *reinterpret_cast<T*>(tensor.raw()) = value;
  return tensor;
}

// The zero point in the type of the integers.
Tensor zero_point(const QuantParams& q) {
  if (q.storage() == DType::s16) return one(DType::s16, static_cast<std::int16_t>(q.zero));
  if (q.storage() == DType::u8) return one(DType::u8, static_cast<std::uint8_t>(q.zero));
  return one(DType::s8, static_cast<std::int8_t>(q.zero));
}

Tensor half_of(const std::string& name, const Tensor& values) {
  Tensor half(DType::f16, values.shape());
  auto* to = reinterpret_cast<std::uint16_t*>(half.raw());
  for (const float v : values.span<float>()) {
    *to = float_to_half(v);
    require(std::isfinite(half_to_float(*to++)), "{}: {} is beyond half precision, which ends at 65504", name, v);
  }
  return half;
}

}  // namespace

Model export_model(const QGraph& graph, const ExportOptions& options) {
  require(options.opset >= 13 && options.opset <= 21, "operator set {}: 13 to 21 were expected", options.opset);
  require(graph.requantisation == Requantisation::one_multiply,
          "{}: the notebook's arithmetic has no ONNX form; calibrate without --preset notebook", graph.name);
  const auto integers = [](const QEdge& edge) { return edge.quantised; };
  require(!options.half || std::ranges::none_of(graph.edges, integers),
          "{}: half precision is for networks without integers", graph.name);
  return Exporter(graph, options).run();
}

Model Exporter::run() {
  model_.ir_version = ir_version(options_.opset);
  model_.producer = "octet";
  model_.graph_name = graph_.name;
  model_.opsets[""] = options_.opset;
  for (const auto& [key, value] : graph_.metadata) model_.metadata[kMetadataPrefix + key] = value;
  tensors_.resize(graph_.edges.size());
  sparse_ = sparse_edges(graph_);
  name_output();
  write_input();
  for (const QNode& node : graph_.nodes) write(node);
  write_output();
  return std::move(model_);
}

// The real tensor that becomes `output`: the network's output edge, or the integers that it is dequantised from.
void Exporter::name_output() {
  taken_.insert("output");
  output_ = graph_.output;
  for (const QNode& node : graph_.nodes) {
    if (node.output == graph_.output && node.op == Op::dequantise) output_ = node.inputs[0];
  }
  if (options_.half) output_name_ = reserve("output_half");
}

void Exporter::write_input() {
  tensors_[index(graph_.input)] = reserve("input");
  model_.inputs.push_back(describe("input", graph_.input));
  if (sparse_.level[index(graph_.input)] >= 0) write_sites_input();
  if (!options_.half) return;
  const std::string half = reserve("input_half");
  add("Cast", half, {"input"}, half, {integer("to", kHalf)});
  tensors_[index(graph_.input)] = half;
}

void Exporter::write_output() {
  const std::string& made = tensors_[index(graph_.output)];
  if (options_.half) {
    add("Cast", "output", {made}, "output", {integer("to", kFloat)});
  } else if (made != "output") {  // the input itself
    add("Identity", "output", {made}, "output");
  }
  model_.outputs.push_back(describe("output", graph_.output));
}

ValueInfo Exporter::describe(const char* name, EdgeId id) const {
  ValueInfo value{.name = name, .elem_type = kFloat, .dims = {options_.dynamic_batch ? -1 : 1}, .has_shape = true};
  const bool sparse = sparse_.level[index(id)] >= 0;
  if (sparse) {
    value.dims = {-1, edge(id).shape[0]};
  } else {
    for (const std::int64_t d : edge(id).shape.dims()) value.dims.push_back(d);
  }
  value.names.assign(value.dims.size(), "");
  value.names[0] = sparse ? "sites" : "batch";
  return value;
}

std::string Exporter::reserve(std::string name) {
  while (!taken_.insert(name).second) name += "_";
  return name;
}

NodeProto& Exporter::add(const char* op, const std::string& name, std::vector<std::string> inputs, std::string output,
                         std::vector<Attribute> attributes) {
  model_.nodes.push_back({.name = name,
                          .op_type = op,
                          .inputs = std::move(inputs),
                          .outputs = {std::move(output)},
                          .attributes = std::move(attributes)});
  return model_.nodes.back();
}

std::string Exporter::constant(const std::string& name, Tensor value) {
  std::string reserved = reserve(name);
  model_.initializers[reserved] = std::move(value);
  return reserved;
}

std::string Exporter::weights(const std::string& name, const Tensor& values) {
  return constant(name, options_.half && values.dtype() == DType::f32 ? half_of(name, values) : values);
}

// Q and DQ behind the real tensor `from`; the edge's tensor is what comes out.
void Exporter::quantise(const std::string& node_name, const std::string& from, EdgeId id) {
  const QuantParams& q = edge(id).quant;
  const std::string& name = edge(id).name;
  const std::string scale = constant(name + "_scale", scalar(q.step));
  const std::string zero = constant(name + "_zero_point", zero_point(q));
  const std::string quantised = reserve(name + "_quantized");
  tensors_[index(id)] = id == output_ ? "output" : reserve(name + "_dequantized");
  // ONNX's own Q and DQ know 16 bits since operator set 21; before, ONNX Runtime's do.
  const std::string domain = q.wide() && options_.opset < 21 ? "com.microsoft" : "";
  if (!domain.empty()) model_.opsets[domain] = 1;
  add("QuantizeLinear", node_name, {from, scale, zero}, quantised).domain = domain;
  add("DequantizeLinear", name + ".dequantise", {quantised, scale, zero}, tensors_[index(id)]).domain = domain;
  const bool whole = q.storage() == DType::u8 ? q.lo == 0 && q.hi == 255 : q.lo == -128 && q.hi == 127;
  if (!whole || q.dead) add_range_metadata(model_, quantised, q);
}

// The tensor that a node's operator writes: `before_activation`, or what the edge stands for.
std::string Exporter::real_name(const QNode& node, bool before_activation) {
  const bool last = !edge(node.output).quantised && !before_activation;
  if (last && node.output == output_) return output_name_;
  return reserve(before_activation ? node.name + "_out" : edge(node.output).name);
}

// A layer, its activation, then Q and DQ where its output is integers. The operator's node comes back.
NodeProto& Exporter::finish(const QNode& node, const char* op, std::vector<std::string> inputs,
                            std::vector<Attribute> attributes) {
  const bool activated = node.activation != Activation::none;
  std::string tensor = real_name(node, activated);
  const std::size_t at = model_.nodes.size();
  add(op, node.name, std::move(inputs), tensor, std::move(attributes));
  if (activated) {
    const std::string before = tensor;
    tensor = real_name(node, false);
    activate(node.activation == Activation::relu6, edge(node.output).name, before, tensor);
  }
  if (edge(node.output).quantised) {
    quantise(edge(node.output).name + ".quantise", tensor, node.output);
  } else {
    tensors_[index(node.output)] = tensor;
  }
  return model_.nodes[at];
}

void Exporter::activate(bool six, const std::string& name, const std::string& from, const std::string& to) {
  if (!six) {
    add("Relu", name, {from}, to);
  } else {
    add("Clip", name, {from, weights(name + "_min", scalar(0)), weights(name + "_max", scalar(6))}, to);
  }
}

std::vector<std::string> Exporter::inputs_of(const QNode& node) const {
  std::vector<std::string> names;
  for (const EdgeId input : node.inputs) names.push_back(tensors_[index(input)]);
  return names;
}

// A layer's inputs, its weight and its bias: s8 and s32 behind a DequantizeLinear each; float ones as they are.
std::vector<std::string> Exporter::weighted_inputs(const QNode& node) {
  std::vector<std::string> inputs = inputs_of(node);
  const std::string weight = node.name + ".weight", bias = node.name + ".bias";
  // ONNX's transposed convolutions have [in, out / groups, h, w]: their output channels lie along axis 1.
  const bool turned = node.op == Op::conv_transpose2d;
  const Tensor values = turned ? channels_turned(node.weight, node.groups) : node.weight;
  if (node.precision != Precision::int8) {
    inputs.push_back(weights(weight, values));
    if (!node.bias.empty()) inputs.push_back(weights(bias, node.bias));
    return inputs;
  }
  const std::vector<float>& steps = node.weight_step;
  const bool per_tensor = std::ranges::all_of(steps, [&](float s) { return s == steps[0]; });
  require(!turned || node.groups == 1 || per_tensor,
          "{}: a transposed convolution of {} groups with a step a channel, which ONNX cannot hold; per-tensor weights "
          "(--weights-granularity tensor) can be exported, or the layer left in float (--ignore)",
          node.name, node.groups);
  const Shape channels = per_tensor ? Shape{} : Shape{static_cast<std::int64_t>(steps.size())};
  const auto count = static_cast<std::size_t>(channels.elements());
  const std::string scale = constant(weight + "_scale", Tensor::of<float>(channels, std::span(steps).first(count)));
  const std::string zero = constant(weight + "_zero_point", Tensor(DType::s8, channels));
  const std::string real_weight = reserve(weight);
  add("DequantizeLinear", weight, {constant(weight + "_quantized", values), scale, zero}, real_weight,
      {integer("axis", turned ? 1 : 0)});
  inputs.push_back(real_weight);

  const float step_in = edge(node.inputs[0]).quant.step;
  Tensor bias_scale(DType::f32, channels);
  for (std::size_t c = 0; c < count; ++c) {
    const auto unit = static_cast<float>(static_cast<double>(step_in) * static_cast<double>(steps[c]));
    require(std::isnormal(unit), "{}: the bias of channel {} has steps of {}, which ONNX cannot hold", node.name, c,
            unit);
    bias_scale.span<float>()[c] = unit;
  }
  const Shape all{static_cast<std::int64_t>(node.bias_q.size())};
  const std::string integers = constant(bias + "_quantized", Tensor::of<std::int32_t>(all, std::span(node.bias_q)));
  const std::string real_bias = reserve(bias);
  add("DequantizeLinear", bias, {integers, constant(bias + "_scale", bias_scale)}, real_bias, {integer("axis", 0)});
  inputs.push_back(real_bias);
  return inputs;
}

}  // namespace octet::onnx
