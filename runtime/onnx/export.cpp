#include "runtime/onnx/export.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "runtime/error.h"
#include "runtime/onnx/range_metadata.h"

namespace octet::onnx {
namespace {

constexpr std::int32_t kFloat = 1;  // TensorProto.FLOAT

Attribute integer(const char* name, std::int64_t value) {
  return {.name = name, .kind = Attribute::Kind::integer, .i = value};
}
Attribute real(const char* name, float value) { return {.name = name, .kind = Attribute::Kind::real, .f = value}; }
Attribute integers(const char* name, std::vector<std::int64_t> values) {
  return {.name = name, .kind = Attribute::Kind::integers, .ints = std::move(values)};
}

Attribute text(const char* name, std::string value) {
  return {.name = name, .kind = Attribute::Kind::text, .s = std::move(value)};
}

template <class T>
Tensor vector(const std::vector<T>& values) {
  return Tensor::of<T>(Shape{static_cast<std::int64_t>(values.size())}, std::span<const T>(values));
}
Tensor scalar(float value) { return Tensor::of<float>(Shape{}, {&value, 1}); }

// The file format's version that came with an operator set.
std::int64_t ir_version(int opset) { return opset < 15 ? 7 : opset < 19 ? 8 : opset < 21 ? 9 : 10; }

class Exporter {
 public:
  Exporter(const QGraph& graph, const ExportOptions& options) : graph_(graph), options_(options) {}

  Model run() {
    model_.ir_version = ir_version(options_.opset);
    model_.producer = "octet";
    model_.graph_name = graph_.name;
    model_.opsets[""] = options_.opset;
    for (const auto& [key, value] : graph_.metadata) model_.metadata[kMetadataPrefix + key] = value;
    tensors_.resize(graph_.edges.size());
    name_output();
    tensors_[index(graph_.input)] = reserve("input");
    model_.inputs.push_back(describe("input", graph_.input));
    for (const QNode& node : graph_.nodes) write(node);
    if (tensors_[index(graph_.output)] != "output") {  // the input itself
      add("Identity", "output", {tensors_[index(graph_.output)]}, "output");
    }
    model_.outputs.push_back(describe("output", graph_.output));
    return std::move(model_);
  }

 private:
  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }
  const QEdge& edge(EdgeId id) const { return graph_.edges[index(id)]; }

  // The real tensor that becomes `output`: the network's output edge, or the integers that it is dequantised from.
  void name_output() {
    taken_.insert("output");
    output_ = graph_.output;
    for (const QNode& node : graph_.nodes) {
      if (node.output == graph_.output && node.op == Op::dequantise) output_ = node.inputs[0];
    }
  }

  std::string reserve(std::string name) {
    while (!taken_.insert(name).second) name += "_";
    return name;
  }

  ValueInfo describe(const char* name, EdgeId id) const {
    ValueInfo value{.name = name, .elem_type = kFloat, .dims = {options_.dynamic_batch ? -1 : 1}, .has_shape = true};
    for (const std::int64_t d : edge(id).shape.dims()) value.dims.push_back(d);
    value.names.assign(value.dims.size(), "");
    value.names[0] = "batch";
    return value;
  }

  void add(const char* op, const std::string& name, std::vector<std::string> inputs, std::string output,
           std::vector<Attribute> attributes = {}) {
    model_.nodes.push_back({.name = name,
                            .op_type = op,
                            .inputs = std::move(inputs),
                            .outputs = {std::move(output)},
                            .attributes = std::move(attributes)});
  }
  std::string constant(const std::string& name, Tensor value) {
    std::string reserved = reserve(name);
    model_.initializers[reserved] = std::move(value);
    return reserved;
  }

  // The zero point in the type of the integers.
  static Tensor zero_point(const QuantParams& q) {
    if (q.storage() == DType::u8) {
      const auto zero = static_cast<std::uint8_t>(q.zero);
      return Tensor::of<std::uint8_t>(Shape{}, {&zero, 1});
    }
    const auto zero = static_cast<std::int8_t>(q.zero);
    return Tensor::of<std::int8_t>(Shape{}, {&zero, 1});
  }

  // Q and DQ behind the real tensor `from`; the edge's tensor is what comes out.
  void quantise(const std::string& node_name, const std::string& from, EdgeId id) {
    const QuantParams& q = edge(id).quant;
    const std::string& name = edge(id).name;
    const std::string scale = constant(name + "_scale", scalar(q.step));
    const std::string zero = constant(name + "_zero_point", zero_point(q));
    const std::string quantised = reserve(name + "_quantized");
    tensors_[index(id)] = id == output_ ? "output" : reserve(name + "_dequantized");
    add("QuantizeLinear", node_name, {from, scale, zero}, quantised);
    add("DequantizeLinear", name + ".dequantise", {quantised, scale, zero}, tensors_[index(id)]);
    const bool whole = q.storage() == DType::u8 ? q.lo == 0 && q.hi == 255 : q.lo == -128 && q.hi == 127;
    if (!whole || q.dead) add_range_metadata(model_, quantised, q);
  }

  // The layer's activation, then Q and DQ where its output is integers. `made`: the tensor that the operator writes.
  std::string real_name(const QNode& node, bool before_activation) {
    const bool last = !edge(node.output).quantised && !before_activation;
    if (last && node.output == output_) return "output";
    return reserve(before_activation ? node.name + "_out" : edge(node.output).name);
  }
  void finish(const QNode& node, const char* op, std::vector<std::string> inputs,
              std::vector<Attribute> attributes = {}) {
    const bool activated = node.activation != Activation::none;
    std::string tensor = real_name(node, activated);
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
  }
  void activate(bool six, const std::string& name, const std::string& from, const std::string& to) {
    if (!six) return add("Relu", name, {from}, to);
    add("Clip", name, {from, constant(name + "_min", scalar(0)), constant(name + "_max", scalar(6))}, to);
  }

  std::vector<std::string> inputs_of(const QNode& node) const {
    std::vector<std::string> names;
    for (const EdgeId input : node.inputs) names.push_back(tensors_[index(input)]);
    return names;
  }

  // s8 weights and s32 biases behind a DequantizeLinear each; float ones as they are.
  std::vector<std::string> weighted_inputs(const QNode& node) {
    std::vector<std::string> inputs = inputs_of(node);
    const std::string weight = node.name + ".weight", bias = node.name + ".bias";
    // ONNX's transposed convolutions have [in, out / groups, h, w]: their output channels lie along axis 1.
    const bool turned = node.op == Op::conv_transpose2d;
    const Tensor values = turned ? channels_turned(node.weight, node.groups) : node.weight;
    if (node.precision != Precision::int8) {
      inputs.push_back(constant(weight, values));
      if (!node.bias.empty()) inputs.push_back(constant(bias, node.bias));
      return inputs;
    }
    const std::vector<float>& steps = node.weight_step;
    const bool per_tensor = std::ranges::all_of(steps, [&](float s) { return s == steps[0]; });
    require(
        !turned || node.groups == 1 || per_tensor,
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

  static std::vector<Attribute> window_attributes(const QNode& node, bool dilated) {
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
  static std::vector<Attribute> transposed_attributes(const QNode& node) {
    const Window& w = node.window;
    const auto cut = [](int pad) { return std::max(pad, 0); };
    return {integers("kernel_shape", {w.kernel_h, w.kernel_w}),
            integers("strides", {w.stride_h, w.stride_w}),
            integers("pads", {w.pad_top, w.pad_left, cut(w.pad_bottom), cut(w.pad_right)}),
            integers("output_padding", {cut(-w.pad_bottom), cut(-w.pad_right)}),
            integers("dilations", {w.dilation_h, w.dilation_w}),
            integer("group", node.groups)};
  }

  // x * scale + shift as a batch-norm of mean 0, variance 1 and epsilon 0.
  void affine(const QNode& node) {
    const Shape channels = node.weight.shape();
    Tensor ones(DType::f32, channels);
    std::ranges::fill(ones.span<float>(), 1.0f);
    std::vector<std::string> inputs = inputs_of(node);
    inputs.push_back(constant(node.name + ".weight", node.weight));
    inputs.push_back(constant(node.name + ".bias", node.bias));
    inputs.push_back(constant(node.name + ".running_mean", Tensor(DType::f32, channels)));
    inputs.push_back(constant(node.name + ".running_var", ones));
    finish(node, "BatchNormalization", std::move(inputs), {real("epsilon", 0.0f)});
  }

  void function(const QNode& node) {
    std::vector<std::string> inputs = inputs_of(node);
    if (node.op == Op::sigmoid) return finish(node, "Sigmoid", inputs);
    if (node.op == Op::leaky_relu) return finish(node, "LeakyRelu", inputs, {real("alpha", node.alpha)});
    if (node.op == Op::hard_sigmoid) {
      return finish(node, "HardSigmoid", inputs, {real("alpha", node.alpha), real("beta", node.beta)});
    }
    if (node.op == Op::clip) {
      constexpr float kMost = std::numeric_limits<float>::max();
      const bool relu = node.alpha == 0 && node.beta == kMost;
      if (relu) return finish(node, "Relu", inputs);
      inputs.push_back(constant(node.name + "_min", scalar(node.alpha)));
      inputs.push_back(constant(node.name + "_max", scalar(node.beta)));
      return finish(node, "Clip", inputs);
    }
    if (options_.opset >= 14) return finish(node, "HardSwish", inputs);
    const std::string gate = reserve(node.name + "_gate");
    add("HardSigmoid", gate, inputs, gate, {real("alpha", 1.0f / 6), real("beta", 0.5f)});
    finish(node, "Mul", {inputs[0], gate});
  }

  void write(const QNode& node) {
    const bool computes = node.op != Op::quantise && node.op != Op::dequantise && node.weight.empty();
    if (computes && node.precision != Precision::int8) add_float_layer(model_, node.name);
    switch (node.op) {
      case Op::quantise:
        return quantise(node.name, tensors_[index(node.inputs[0])], node.output);
      case Op::dequantise:
        tensors_[index(node.output)] = tensors_[index(node.inputs[0])];
        return;
      case Op::conv2d:
        return finish(node, "Conv", weighted_inputs(node), window_attributes(node, true));
      case Op::conv_transpose2d:
        return finish(node, "ConvTranspose", weighted_inputs(node), transposed_attributes(node));
      case Op::linear:
        return finish(node, "Gemm", weighted_inputs(node), {integer("transB", 1)});
      case Op::max_pool:
        return finish(node, "MaxPool", inputs_of(node), window_attributes(node, true));
      case Op::avg_pool:
        return finish(node, "AveragePool", inputs_of(node), window_attributes(node, false));
      case Op::global_avg_pool:
        return finish(node, "GlobalAveragePool", inputs_of(node));
      case Op::flatten:
        return finish(node, "Flatten", inputs_of(node), {integer("axis", 1)});
      case Op::add:
        return finish(node, node.inputs.size() == 2 ? "Add" : "Sum", inputs_of(node));
      case Op::concat:
        return finish(node, "Concat", inputs_of(node), {integer("axis", 1)});
      case Op::upsample: {
        const auto across = static_cast<float>(node.window.stride_w), down = static_cast<float>(node.window.stride_h);
        std::vector<std::string> inputs = inputs_of(node);
        inputs.push_back("");  // the region of interest, which nearest has no use for
        inputs.push_back(constant(node.name + "_scales", vector<float>({1, 1, down, across})));
        return finish(node, "Resize", std::move(inputs),
                      {text("mode", "nearest"), text("coordinate_transformation_mode", "asymmetric"),
                       text("nearest_mode", "floor")});
      }
      case Op::pad: {
        const Window& w = node.window;
        std::vector<std::string> inputs = inputs_of(node);
        const std::vector<std::int64_t> pads{0, 0, w.pad_top, w.pad_left, 0, 0, w.pad_bottom, w.pad_right};
        inputs.push_back(constant(node.name + "_pads", vector<std::int64_t>(pads)));
        return finish(node, "Pad", std::move(inputs));
      }
      case Op::batch_norm:
        return affine(node);
      case Op::relu:
        return finish(node, "Relu", inputs_of(node));
      case Op::relu6: {
        std::vector<std::string> inputs = inputs_of(node);
        inputs.push_back(constant(node.name + "_min", scalar(0)));
        inputs.push_back(constant(node.name + "_max", scalar(6)));
        return finish(node, "Clip", std::move(inputs));
      }
      case Op::mul:
        return finish(node, "Mul", inputs_of(node));
      case Op::softmax:
        return finish(node, "Softmax", inputs_of(node), {integer("axis", 1)});
      case Op::sparse_conv:
      case Op::to_dense:
        break;
      case Op::sigmoid:
      case Op::hard_sigmoid:
      case Op::hard_swish:
      case Op::leaky_relu:
      case Op::clip:
        return function(node);
    }
    fail("{}: {} has no ONNX form", node.name, name_of(node.op));
  }

  const QGraph& graph_;
  const ExportOptions& options_;
  Model model_;
  std::vector<std::string> tensors_;  // by edge: the real tensor that stands for it
  std::set<std::string> taken_;
  EdgeId output_ = -1;  // the edge whose real tensor is `output`
};

}  // namespace

Model export_model(const QGraph& graph, const ExportOptions& options) {
  require(options.opset >= 13 && options.opset <= 21, "operator set {}: 13 to 21 were expected", options.opset);
  require(graph.requantisation == Requantisation::one_multiply,
          "{}: the notebook's arithmetic has no ONNX form; calibrate without --preset notebook", graph.name);
  return Exporter(graph, options).run();
}

}  // namespace octet::onnx
