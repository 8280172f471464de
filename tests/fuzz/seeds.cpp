// Writes small models that reach every part of the importer, for the fuzzer to start from.
#include <filesystem>

#include "runtime/onnx/lower_quantised.h"
#include "runtime/onnx/range_metadata.h"
#include "runtime/onnx/sparse_operators.h"
#include "tests/onnx_models.h"

using namespace octet;
using namespace octet::test;

namespace {

void everything_float(ModelMaker& m) {
  m.constant("w", ramp({2, 2, 3, 3}))
      .constant("b", ramp({2}))
      .constant("fc", ramp({3, 4}))
      .constant("0", reals({}, {0}));
  m.constant("6", reals({}, {6})).constant("v", reals({2}, {1, 2})).constant("axis", longs({0}));
  m.constant("rest", longs({-1})).constant("i", Tensor::of<std::int64_t>(Shape{}, std::vector<std::int64_t>{0}));
  m.node("Conv", {"x", "w", "b"}, {"a"}, {integers("pads", {1, 1, 1, 1}), integer("group", 1)});
  m.node("BatchNormalization", {"a", "v", "v", "v", "v"}, {"n"}).node("Clip", {"n", "0", "6"}, {"r"});
  m.node("Conv", {"r", "w"}, {"c"}, {text("auto_pad", "SAME_UPPER")}).node("HardSwish", {"c"}, {"h"});
  m.node("MaxPool", {"h"}, {"p"}, {integers("kernel_shape", {2, 2}), integer("ceil_mode", 1)});
  m.node("AveragePool", {"h"}, {"q"}, {integers("kernel_shape", {2, 2}), integer("count_include_pad", 1)});
  m.node("Add", {"p", "q"}, {"s"}).node("Sigmoid", {"s"}, {"g"}).node("Mul", {"s", "g"}, {"t"});
  m.constant("pads", longs({0, 0, 1, 0, 0, 0, 0, 1})).constant("scales", reals({4}, {1, 1, 2, 1}));
  m.node("Pad", {"p", "pads"}, {"pp"})
      .node("Resize", {"pp", "", "scales"}, {"pr"})
      .node("AveragePool", {"pr"}, {"pq"}, {integers("kernel_shape", {2, 2})});
  m.node("GlobalMaxPool", {"pq"}, {"pg"}).node("Mul", {"t", "pg"}, {"gg"}).node("LeakyRelu", {"gg"}, {"gl"});
  m.node("Concat", {"gl", "s"}, {"k"}, {integer("axis", 1)}).node("Mul", {"k", "6"}, {"k6"});
  m.node("GlobalAveragePool", {"k6"}, {"e"}).node("Shape", {"e"}, {"sh"}).node("Gather", {"sh", "i"}, {"sg"});
  m.node("Unsqueeze", {"sg", "axis"}, {"su"}).node("Concat", {"su", "rest"}, {"sc"}, {integer("axis", 0)});
  m.node("Reshape", {"e", "sc"}, {"f"}).node("Gemm", {"f", "fc"}, {"l"}, {integer("transB", 1)});
  m.node("Softmax", {"l"}, {"y"}, {integer("axis", 1)});
}

void everything_quantised(ModelMaker& m) {
  m.constant("s", reals({}, {0.5f}))
      .constant("z", Tensor(DType::u8, Shape{}))
      .constant("sw", reals({2}, {0.5f, 0.25f}));
  m.constant("w", Tensor(DType::s8, {2, 2, 1, 1}))
      .constant("zw", Tensor(DType::s8, {2}))
      .constant("b", Tensor(DType::s32, {2}));
  m.node("QuantizeLinear", {"x", "s", "z"}, {"q"});
  m.node("QLinearConv", {"q", "s", "z", "w", "sw", "zw", "s", "z", "b"}, {"c"});
  m.node("MaxPool", {"c"}, {"p"}, {integers("kernel_shape", {2, 2})}).node("DequantizeLinear", {"p", "s", "z"}, {"d"});
  m.node("Relu", {"d"}, {"r"})
      .node("QuantizeLinear", {"r", "s", "z"}, {"rq"})
      .node("DequantizeLinear", {"rq", "s", "z"}, {"e"});
  m.node("DequantizeLinear", {"w", "sw", "zw"}, {"wd"}, {integer("axis", 0)}).node("Conv", {"e", "wd"}, {"f"});
  m.node("Add", {"f", "e"}, {"y"});
  m.model.metadata["octet.ranges"] = "q 0 127\n";
}

// Turned round, both ways of giving its size, in floats and in integers.
void transposed(ModelMaker& m) {
  m.constant("w", ramp({2, 2, 2, 2})).constant("b", ramp({2})).constant("s", reals({}, {0.5f}));
  m.constant("z", Tensor(DType::s8, Shape{})).constant("wq", Tensor(DType::s8, {2, 1, 3, 3}));
  m.constant("sw", reals({2}, {0.5f, 0.25f})).constant("zw", Tensor(DType::s8, {2}));
  m.node("ConvTranspose", {"x", "w", "b"}, {"a"}, {integers("strides", {2, 2}), integers("output_padding", {1, 0})});
  m.node("ConvTranspose", {"a", "w"}, {"c"}, {integers("output_shape", {13, 10}), text("auto_pad", "SAME_LOWER")});
  m.node("QuantizeLinear", {"c", "s", "z"}, {"q"}).node("DequantizeLinear", {"q", "s", "z"}, {"d"});
  m.node("DequantizeLinear", {"wq", "s", "z"}, {"wd"});
  m.node("ConvTranspose", {"d", "wd"}, {"e"}, {integer("group", 2), integers("pads", {1, 1, 1, 1})});
  m.node("QuantizeLinear", {"e", "s", "z"}, {"eq"}).node("DequantizeLinear", {"eq", "s", "z"}, {"y"});
}

onnx::NodeProto sparse(const char* op, std::vector<std::string> inputs, const std::string& output, bool halves) {
  const std::vector<std::int64_t> kernel(3, halves ? 2 : 3), stride(3, halves ? 2 : 1), padding(3, halves ? 0 : 1);
  return {.name = output,
          .op_type = op,
          .domain = onnx::kSparseDomain,
          .inputs = std::move(inputs),
          .outputs = {output},
          .attributes = {integers("kernel_shape", kernel), integers("strides", stride), integers("padding", padding),
                         integers("dilations", {1, 1, 1}), integers("input_grid", {4, 4, 4}),
                         integers("output_grid", std::vector<std::int64_t>(3, halves ? 2 : 4))}};
}

// Down and back up between the same sites; the input in 16 bits.
onnx::Model sparse_network() {
  ModelMaker m({-1, 2}, 21);
  onnx::Model& model = m.model;
  model.opsets[onnx::kSparseDomain] = onnx::kSparseVersion;
  model.inputs.push_back({.name = "sites", .elem_type = 6, .dims = {-1, 4}, .has_shape = true});
  model.inputs.push_back({.name = "frames", .elem_type = 7, .has_shape = true});
  m.constant("s", reals({}, {0.5f}))
      .constant("z", Tensor(DType::s16, Shape{}))
      .constant("z8", Tensor(DType::s8, Shape{}));
  m.constant("w3", Tensor(DType::s8, {2, 3, 3, 3, 2})).constant("w2", ramp({2, 2, 2, 2, 2})).constant("b", ramp({2}));
  m.node("QuantizeLinear", {"x", "s", "z"}, {"q"}).node("DequantizeLinear", {"q", "s", "z"}, {"d"});
  m.node("DequantizeLinear", {"w3", "s", "z8"}, {"w3d"});
  const auto add = [&](onnx::NodeProto node, std::vector<Attribute> more) {
    node.attributes.insert(node.attributes.end(), more.begin(), more.end());
    model.nodes.push_back(std::move(node));
  };
  add(sparse(onnx::kSparseConv, {"d", "sites", "sites", "w3d", "b"}, "a", false),
      {integer("submanifold", 1), integer("rulebook", 0), text("weight_layout", onnx::kWeightLayout)});
  add(sparse(onnx::kSparseSites, {"sites"}, "half", true), {});
  add(sparse(onnx::kSparseConv, {"a", "sites", "half", "w2"}, "down", true), {integer("rulebook", 1)});
  onnx::NodeProto up = sparse(onnx::kSparseConv, {"down", "half", "sites", "w2", "b"}, "up", true);
  std::swap(up.attributes[4].ints, up.attributes[5].ints);
  add(std::move(up), {integer("inverse", 1), text("inverse_of", "down"), integer("rulebook", 2)});
  m.node("Add", {"up", "a"}, {"sum"});
  model.nodes.push_back({.name = "dense",
                         .op_type = onnx::kSparseToDense,
                         .domain = onnx::kSparseDomain,
                         .inputs = {"sum", "sites", "frames"},
                         .outputs = {"y"},
                         .attributes = {integers("input_grid", {4, 4, 4})}});
  model.metadata["octet.ranges"] = "q -16256 16256\n";
  return model;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  const std::filesystem::path folder = arguments[1];
  ModelMaker real({-1, 2, 6, 5}, 14), integer({-1, 2, 6, 5}), turned({-1, 2, 6, 5});
  everything_float(real), everything_quantised(integer), transposed(turned);
  const std::pair<const char*, onnx::Model> seeds[] = {{"float.onnx", real.model},
                                                       {"quantised.onnx", integer.model},
                                                       {"transposed.onnx", turned.model},
                                                       {"sparse.onnx", sparse_network()}};
  for (const auto& [name, model] : seeds) {
    std::vector<std::string> notes;
    const Graph graph = onnx::import_graph(model, name, &notes);  // they must be valid
    if (onnx::is_quantised(graph)) onnx::lower_quantised(graph, notes, onnx::float_layers(model));
    onnx::write_model(model, folder / name);
  }
  return 0;
}
