// Operators on integers, spelled as DequantizeLinear -> operator on reals -> QuantizeLinear: one way of importing
// serves all quantised files, and both spellings mean the same numbers.
#include <fmt/format.h>
#include <algorithm>
#include <set>

#include "runtime/error.h"
#include "runtime/onnx/import.h"

namespace octet::onnx {
namespace {

constexpr const char* kMicrosoft = "com.microsoft";

// How an integer operator's inputs read: tensors with a scale and a zero point each, in groups of three.
struct Form {
  const char* real;             // the operator on reals
  std::vector<std::size_t> at;  // where each (tensor, scale, zero point) starts
  int result;                   // where the output's scale and zero point are; -1: the output is int32
  int bias = -1;                // an int32 bias in units of scale 0 * scale 1
};

const Form* form_of(const NodeProto& node) {
  static const std::map<std::string, Form, std::less<>> standard = {
      {"QLinearConv", {"Conv", {0, 3}, 6, 8}},
      {"QLinearMatMul", {"MatMul", {0, 3}, 6}},
  };
  static const std::map<std::string, Form, std::less<>> microsoft = {
      {"QGemm", {"Gemm", {0, 3}, 7, 6}},
      {"QLinearAdd", {"Add", {0, 3}, 6}},
      {"QLinearMul", {"Mul", {0, 3}, 6}},
      {"QLinearGlobalAveragePool", {"GlobalAveragePool", {0}, 3}},
      {"QLinearAveragePool", {"AveragePool", {0}, 3}},
      {"QLinearSigmoid", {"Sigmoid", {0}, 3}},
      {"QLinearLeakyRelu", {"LeakyRelu", {0}, 3}},
  };
  const auto& table = node.domain.empty() ? standard : microsoft;
  if (!node.domain.empty() && node.domain != kMicrosoft) return nullptr;
  const auto found = table.find(node.op_type);
  return found == table.end() ? nullptr : &found->second;
}

class Expander {
 public:
  explicit Expander(const Model& model) : model_(model) {
    result_ = model;
    result_.nodes.clear();
  }

  Model run() {
    for (const NodeProto& node : model_.nodes) {
      if (const Form* form = form_of(node)) {
        expand(node, *form);
      } else if (node.domain == kMicrosoft && node.op_type == "QLinearConcat") {
        concat(node);
      } else if (node.domain.empty() && (node.op_type == "ConvInteger" || node.op_type == "MatMulInteger")) {
        integer_product(node);
      } else if (node.domain == kMicrosoft &&
                 (node.op_type == "QuantizeLinear" || node.op_type == "DequantizeLinear")) {
        result_.nodes.push_back(node);
        result_.nodes.back().domain.clear();
      } else {
        result_.nodes.push_back(node);
      }
    }
    return std::move(result_);
  }

 private:
  std::string fresh(const std::string& near, const char* what) { return fmt::format("{}/{}{}", near, what, ++count_); }
  static std::string input(const NodeProto& node, std::size_t i) {
    return i < node.inputs.size() ? node.inputs[i] : "";
  }
  std::string constant(const std::string& near, Tensor value) {
    std::string name = fresh(near, "constant");
    result_.initializers[name] = std::move(value);
    return name;
  }
  bool is_constant(const std::string& name) const { return model_.initializers.contains(name); }

  // Weights lie along axis 0 of a convolution, along the last one of a matrix; a scale a channel says so.
  std::string dequantised(const NodeProto& node, std::size_t at, std::int64_t axis) {
    // The weight keeps its own name, by which its layer will be known.
    std::string name = is_constant(input(node, at)) ? input(node, at) + "_dequantized" : fresh(node.outputs[0], "real");
    while (made_.contains(name)) name = fresh(name, "real");
    made_.insert(name);
    result_.nodes.push_back({.name = "",
                             .op_type = "DequantizeLinear",
                             .inputs = {input(node, at), input(node, at + 1), input(node, at + 2)},
                             .outputs = {name},
                             .attributes = {{.name = "axis", .kind = Attribute::Kind::integer, .i = axis}}});
    return name;
  }
  void quantised(const NodeProto& node, const std::string& real, std::size_t at) {
    result_.nodes.push_back({.name = "",
                             .op_type = "QuantizeLinear",
                             .inputs = {real, input(node, at), input(node, at + 1)},
                             .outputs = {node.outputs[0]}});
  }
  Tensor factor(const NodeProto& node, std::size_t at) const {
    const auto found = model_.initializers.find(input(node, at));
    require(found != model_.initializers.end(), "{}: its scale (input {}) is not a constant", node.str(), at);
    return found->second.to_f32();
  }

  void expand(const NodeProto& node, const Form& form) {
    require(!node.outputs.empty() && !node.inputs.empty(), "{}: no input or no output", node.str());
    NodeProto real = node;
    real.domain.clear(), real.op_type = form.real, real.inputs.clear();
    const Attribute* rows = node.find("transB");
    const bool last = node.op_type == "QLinearMatMul" || (node.op_type == "QGemm" && (rows == nullptr || rows->i == 0));
    for (const std::size_t at : form.at) real.inputs.push_back(dequantised(node, at, last ? 1 : 0));
    if (form.bias >= 0 && !input(node, static_cast<std::size_t>(form.bias)).empty()) {
      real.inputs.push_back(bias(node, static_cast<std::size_t>(form.bias)));
    }
    const Attribute* channels_last = node.find("channels_last");
    require(channels_last == nullptr || channels_last->i == 0, "{}: channels_last is not supported", node.str());
    std::erase_if(real.attributes, [](const Attribute& a) { return a.name == "channels_last"; });
    const auto result = static_cast<std::size_t>(form.result);
    const bool to_real = input(node, result).empty();  // QGemm without an output scale
    if (!to_real) real.outputs = {fresh(node.outputs[0], "real")};
    const std::string output = real.outputs[0];
    result_.nodes.push_back(std::move(real));
    if (!to_real) quantised(node, output, result);
  }

  std::string bias(const NodeProto& node, std::size_t at) {
    const Tensor in = factor(node, 1), weight = factor(node, 4);
    require(in.elements() == 1, "{}: an input with {} scales", node.str(), in.elements());
    Tensor scale(DType::f32, weight.shape());
    for (std::size_t c = 0; c < scale.span<float>().size(); ++c) {
      scale.span<float>()[c] = in.span<float>()[0] * weight.span<float>()[c];
    }
    std::string name = fresh(node.outputs[0], "bias");
    result_.nodes.push_back({.name = "",
                             .op_type = "DequantizeLinear",
                             .inputs = {input(node, at), constant(node.outputs[0], scale)},
                             .outputs = {name},
                             .attributes = {{.name = "axis", .kind = Attribute::Kind::integer, .i = 0}}});
    return name;
  }

  // y_scale, y_zero_point, then (tensor, scale, zero point) for each input.
  void concat(const NodeProto& node) {
    NodeProto real{.name = node.name, .op_type = "Concat", .attributes = node.attributes};
    for (std::size_t at = 2; at + 1 < node.inputs.size(); at += 3) real.inputs.push_back(dequantised(node, at, 0));
    require(!node.outputs.empty(), "{}: no output", node.str());
    real.outputs = {fresh(node.outputs[0], "real")};
    const std::string output = real.outputs[0];
    result_.nodes.push_back(std::move(real));
    quantised(node, output, 0);
  }

  // ConvInteger and MatMulInteger: (x, w, x_zero, w_zero) -> int32, which is the product of reals with scales of 1.
  void integer_product(const NodeProto& node) {
    require(node.inputs.size() >= 2 && !node.outputs.empty(), "{}: two inputs and an output were expected", node.str());
    const std::string one = constant(node.outputs[0], Tensor::of<float>(Shape{}, std::vector<float>{1.0f}));
    NodeProto real = node;
    real.op_type = node.op_type == "ConvInteger" ? "Conv" : "MatMul";
    real.inputs.clear();
    for (std::size_t i = 0; i < 2; ++i) {
      NodeProto group = node;
      group.inputs = {input(node, i), one, input(node, i + 2)};
      real.inputs.push_back(dequantised(group, 0, 0));
    }
    result_.nodes.push_back(std::move(real));
  }

  const Model& model_;
  Model result_;
  std::set<std::string> made_;
  int count_ = 0;
};

}  // namespace

Model expand_integer_operators(const Model& model) { return Expander(model).run(); }

}  // namespace octet::onnx
