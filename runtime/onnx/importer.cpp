// Walking an ONNX graph in its order. What each operator becomes is import_layers.cpp, import_elementwise.cpp and
// import_shapes.cpp.
#include "runtime/onnx/importer.h"

#include <fmt/format.h>
#include <algorithm>

#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/onnx/import.h"
#include "runtime/onnx/sparse_operators.h"

namespace octet::onnx {
namespace {

constexpr std::int64_t kOldestOpset = 7, kNewestOpset = 21;
constexpr std::size_t kMaxNodes = 20'000;  // building a Graph compares every name with every other
constexpr std::int32_t kFloat = 1;

std::string dims_text(const ValueInfo& value) {
  std::vector<std::string> texts;
  for (const std::int64_t d : value.dims) texts.push_back(d < 0 ? "?" : std::to_string(d));
  return fmt::format("[{}]", fmt::join(texts, ", "));
}

}  // namespace

const std::map<std::string, Importer::Handler, std::less<>>& Importer::sparse_handlers() {
  static const std::map<std::string, Handler, std::less<>> table = {
      {kSparseSites, &Importer::sparse_sites},
      {kSparseConv, &Importer::sparse_conv},
      {kSparseToDense, &Importer::sparse_to_dense},
  };
  return table;
}

const std::map<std::string, Importer::Handler, std::less<>>& Importer::handlers() {
  static const std::map<std::string, Handler, std::less<>> table = {
      {"Conv", &Importer::conv},
      {"ConvTranspose", &Importer::conv_transpose},
      {"Gemm", &Importer::gemm},
      {"MatMul", &Importer::matmul},
      {"BatchNormalization", &Importer::batch_norm},
      {"MaxPool", &Importer::pool},
      {"AveragePool", &Importer::pool},
      {"GlobalAveragePool", &Importer::global_pool},
      {"GlobalMaxPool", &Importer::global_pool},
      {"ReduceMean", &Importer::reduce_mean},
      {"Relu", &Importer::relu},
      {"Clip", &Importer::clip},
      {"Sigmoid", &Importer::function},
      {"HardSigmoid", &Importer::function},
      {"HardSwish", &Importer::function},
      {"LeakyRelu", &Importer::function},
      {"Add", &Importer::arithmetic},
      {"Sub", &Importer::arithmetic},
      {"Mul", &Importer::arithmetic},
      {"Div", &Importer::arithmetic},
      {"Sum", &Importer::sum},
      {"Softmax", &Importer::softmax},
      {"Concat", &Importer::concat},
      {"Pad", &Importer::pad},
      {"Resize", &Importer::resize},
      {"Upsample", &Importer::resize},
      {"Identity", &Importer::identity},
      {"Dropout", &Importer::identity},
      {"Constant", &Importer::constant_node},
      {"Flatten", &Importer::flatten},
      {"Reshape", &Importer::reshape},
      {"Squeeze", &Importer::squeeze},
      {"Unsqueeze", &Importer::unsqueeze},
      {"Transpose", &Importer::transpose},
      {"Shape", &Importer::shape_of},
      {"Gather", &Importer::gather},
      {"Slice", &Importer::slice},
      {"Cast", &Importer::cast},
      {"QuantizeLinear", &Importer::quantize},
      {"DequantizeLinear", &Importer::dequantize},
  };
  return table;
}

Graph import_graph(const Model& model, const std::string& name, std::vector<std::string>* notes) {
  std::vector<std::string> nobody;
  const Model plain = expand_integer_operators(model);
  return Importer(plain, name, notes != nullptr ? *notes : nobody).run();
}

std::int64_t axis_in(const NodeProto& node, std::int64_t axis, std::size_t rank) {
  const auto size = static_cast<std::int64_t>(rank);
  require(axis >= -size && axis < size, "{}: axis {} of {} dimensions", node.str(), axis, rank);
  return axis < 0 ? axis + size : axis;
}

std::vector<std::int64_t> integers_of(const NodeProto& node, const Tensor& tensor) {
  std::vector<std::int64_t> values;
  if (tensor.dtype() == DType::s64) {
    const auto span = tensor.span<std::int64_t>();
    values.assign(span.begin(), span.end());
  } else {
    require(tensor.dtype() == DType::s32, "{}: integers were expected, not {}", node.str(), name_of(tensor.dtype()));
    const auto span = tensor.span<std::int32_t>();
    values.assign(span.begin(), span.end());
  }
  return values;
}

// The nodes that the output depends on.
std::vector<bool> Importer::reachable() const {
  std::map<std::string, std::size_t, std::less<>> maker;
  for (std::size_t i = 0; i < model_.nodes.size(); ++i) {
    for (const std::string& output : model_.nodes[i].outputs) {
      require(output.empty() || maker.emplace(output, i).second, "{}: '{}' is made twice", model_.nodes[i].str(),
              printable(output));
    }
  }
  std::vector<bool> wanted(model_.nodes.size(), false);
  std::vector<std::string> open{model_.outputs[0].name};
  while (!open.empty()) {
    const auto found = maker.find(open.back());
    open.pop_back();
    if (found == maker.end() || wanted[found->second]) continue;
    wanted[found->second] = true;
    for (const std::string& input : model_.nodes[found->second].inputs) open.push_back(input);
  }
  return wanted;
}

void Importer::make_input() {
  const ValueInfo& input = model_.inputs[0];
  const std::string what = fmt::format("{}: input '{}' of {}", graph_.name(), printable(input.name), dims_text(input));
  require(input.elem_type == kFloat, "{}: floats were expected", what);
  require(input.dims.size() == 4 || input.dims.size() == 2,
          "{}: [N, channels, height, width] or [N, features] was expected", what);
  std::vector<std::int64_t> dims(input.dims.begin() + 1, input.dims.end());
  for (const std::int64_t d : dims) require(d > 0, "{}: every dimension but the first must be a number above 0", what);
  Activation activation{.dims = dims};
  // Exporters of channels-last frameworks transpose first. Our inputs are [C,H,W] whatever the memory looks like.
  const bool channels_last =
      dims.size() == 3 && std::ranges::all_of(model_.nodes, [&](const NodeProto& node) {
        if (std::ranges::find(node.inputs, input.name) == node.inputs.end()) return true;
        const Attribute* perm = node.find("perm");
        return node.op_type == "Transpose" && perm != nullptr && perm->ints == std::vector<std::int64_t>{0, 3, 1, 2};
      });
  if (channels_last) dims = {dims[2], dims[0], dims[1]};
  activation.edge = graph_.input(input.name, Shape(dims));
  activations_[input.name] = std::move(activation);
  names_.insert(input.name);
}

Graph Importer::run() {
  const std::string& name = graph_.name();
  require(model_.opset() >= kOldestOpset && model_.opset() <= kNewestOpset,
          "{}: operator set {}; {} to {} are supported", name, model_.opset(), kOldestOpset, kNewestOpset);
  require(model_.nodes.size() <= kMaxNodes, "{}: {} nodes; at most {} are supported", name, model_.nodes.size(),
          kMaxNodes);
  require(is_sparse() ? !model_.inputs.empty() : model_.inputs.size() == 1,
          "{}: {} inputs; networks of one input are supported", name, model_.inputs.size());
  require(model_.outputs.size() == 1, "{}: {} outputs; networks of one output are supported", name,
          model_.outputs.size());
  for (const NodeProto& node : model_.nodes) used_.insert(node.inputs.begin(), node.inputs.end());
  is_sparse() ? make_sparse_input() : make_input();
  for (const auto& [key, tensor] : model_.initializers) constants_[key] = tensor;
  const std::vector<bool> wanted = reachable();
  for (std::size_t i = 0; i < model_.nodes.size(); ++i) {
    if (wanted[i]) import_node(model_.nodes[i]);
  }
  const auto output = activations_.find(model_.outputs[0].name);
  require(output != activations_.end(), "{}: its output '{}' is not computed from its input", name,
          printable(model_.outputs[0].name));
  require(!output->second.integer, "{}: its output '{}' is integers; a DequantizeLinear was expected before it", name,
          printable(model_.outputs[0].name));
  if (output->second.pad != nullptr) make_pad(output->second);
  graph_.set_output(output->second.edge);
  graph_.validate();
  return std::move(graph_);
}

void Importer::import_node(const NodeProto& node) {
  const bool sparse = node.domain == kSparseDomain;
  const auto& known = sparse ? sparse_handlers() : handlers();
  const auto found = sparse || node.domain.empty() ? known.find(node.op_type) : known.end();
  if (found == known.end()) {
    std::vector<std::string> names;
    for (const auto& [op, handler] : known) names.push_back(op);
    fail("{}: this operator is not supported; these are: {}", node.str(), fmt::join(names, ", "));
  }
  require(!node.outputs.empty() && !node.outputs[0].empty(), "{}: makes no output", node.str());
  (this->*found->second)(node);
}

bool Importer::has_input(const NodeProto& node, std::size_t input) const {
  return input < node.inputs.size() && !node.inputs[input].empty();
}

void Importer::inputs_between(const NodeProto& node, std::size_t least, std::size_t most) const {
  require(node.inputs.size() >= least && node.inputs.size() <= most, "{}: {} inputs, {} to {} were expected",
          node.str(), node.inputs.size(), least, most);
}

const Tensor& Importer::constant(const NodeProto& node, std::size_t input, const char* what) const {
  require(has_input(node, input), "{}: its {} (input {}) is missing", node.str(), what, input);
  const auto found = constants_.find(node.inputs[input]);
  require(found != constants_.end(), "{}: its {} '{}' is not a constant; a constant was expected", node.str(), what,
          printable(node.inputs[input]));
  return found->second;
}

const Importer::Activation& Importer::activation(const NodeProto& node, std::size_t input) {
  require(has_input(node, input), "{}: input {} is missing", node.str(), input);
  const auto found = activations_.find(node.inputs[input]);
  require(found != activations_.end() || !is_constant(node.inputs[input]),
          "{}: its input '{}' is a constant; an activation was expected", node.str(), printable(node.inputs[input]));
  require(found != activations_.end(), "{}: its input '{}' is not made before it is used (or lies in a cycle)",
          node.str(), printable(node.inputs[input]));
  if (found->second.pad != nullptr) make_pad(found->second);
  return found->second;
}

EdgeId Importer::edge(const NodeProto& node, std::size_t input) {
  require(!activation(node, input).integer, "{}: its input '{}' is integers; a DequantizeLinear was expected before it",
          node.str(), printable(node.inputs[input]));
  return edge_of_either(node, input);
}

EdgeId Importer::edge_of_either(const NodeProto& node, std::size_t input) {
  const Activation& a = activation(node, input);
  require(std::ranges::equal(a.dims, shape(a.edge).dims()), "{}: its input of [N, {}] lies as [N, {}]: not supported",
          node.str(), fmt::join(a.dims, ", "), fmt::join(shape(a.edge).dims(), ", "));
  return a.edge;
}

void Importer::define(const NodeProto& node, EdgeId made, bool integer) {
  for (std::size_t i = 1; i < node.outputs.size(); ++i) {
    require(node.outputs[i].empty() || !used_.contains(node.outputs[i]),
            "{}: its output '{}' is used; only the first output is supported", node.str(), printable(node.outputs[i]));
  }
  const auto dims = shape(made).dims();
  activations_[node.outputs[0]] = {made, {dims.begin(), dims.end()}, integer};
}

void Importer::define_constant(const NodeProto& node, Tensor value) { constants_[node.outputs[0]] = std::move(value); }

void Importer::alias(const NodeProto& node, std::size_t input) {
  require(has_input(node, input), "{}: input {} is missing", node.str(), input);
  if (is_constant(node.inputs[input])) {
    define_constant(node, constants_.find(node.inputs[input])->second);
  } else {
    activations_[node.outputs[0]] = activation(node, input);
  }
}

// The checkpoint's name where the weight tells it, else the node's, else the output's; with a number where it is taken.
std::string Importer::layer_name(const NodeProto& node, const std::string& weight) const {
  std::string name = node.name.empty() ? node.outputs[0] : node.name;
  std::string_view stem = weight;
  for (const std::string_view added : {"_DequantizeLinear_Output", "_dequantized", "_quantized"}) {  // by quantisers
    if (stem.ends_with(added)) stem.remove_suffix(added.size());
  }
  if (stem.ends_with(".weight") && stem.size() > 7) name = stem.substr(0, stem.size() - 7);
  if (!names_.contains(name)) return name;
  for (int i = 2;; ++i) {
    std::string numbered = fmt::format("{}_{}", name, i);
    if (!names_.contains(numbered)) return numbered;
  }
}

EdgeId Importer::append(Node node) {
  names_.insert(node.name);
  return graph_.append(std::move(node));
}

// x * scale[c] + shift[c] as a batch-norm that a layer before it may take in: variance 1, mean 0, eps 0.
EdgeId Importer::scale_shift(const NodeProto& node, EdgeId x, std::vector<float> scale, std::vector<float> shift) {
  const Shape channels{shape(x)[0]};
  const auto count = static_cast<std::size_t>(channels[0]);
  require(scale.size() == count && shift.size() == count, "{}: {} constants for {} channels", node.str(), scale.size(),
          count);
  Tensor ones(DType::f32, channels);
  std::ranges::fill(ones.span<float>(), 1.0f);
  Node norm{.name = layer_name(node), .op = Op::batch_norm, .inputs = {x}, .eps = 0.0f};
  norm.parameters = {{"weight", channels, Tensor::of<float>(channels, std::span<const float>(scale))},
                     {"bias", channels, Tensor::of<float>(channels, std::span<const float>(shift))},
                     {"running_mean", channels, Tensor(DType::f32, channels)},
                     {"running_var", channels, ones}};
  return append(std::move(norm));
}

void observe_activations(Graph& graph) {
  const auto folds_into = [](Op op) { return op == Op::batch_norm || op == Op::relu || op == Op::relu6; };
  for (EdgeId e = 0; e < static_cast<EdgeId>(graph.edges().size()); ++e) {
    const Edge& edge = graph.edges()[static_cast<std::size_t>(e)];
    const std::vector<int> users = graph.consumers(e);
    const Op maker = edge.producer < 0 ? Op::quantise : graph.nodes()[static_cast<std::size_t>(edge.producer)].op;
    const bool folds = users.size() == 1 && edge.producer >= 0 &&
                       folds_into(graph.nodes()[static_cast<std::size_t>(users[0])].op) &&
                       (has_weights(maker) || maker == Op::add || maker == Op::batch_norm);
    const bool keeps = edge.producer >= 0 && moves_values(maker);
    const bool logits = e == graph.output_edge() && users.empty();
    if (!folds && !keeps && !logits && edge.observer.empty()) graph.observe(e, edge.name);
  }
}

}  // namespace octet::onnx
