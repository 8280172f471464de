// Writes small models that reach every part of the importer, for the fuzzer to start from.
#include <filesystem>

#include "runtime/onnx/export.h"
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

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  const std::filesystem::path folder = arguments[1];
  ModelMaker real({-1, 2, 6, 5}, 14), integer({-1, 2, 6, 5});
  everything_float(real), everything_quantised(integer);
  onnx::import_graph(real.model, "seed"), onnx::import_graph(integer.model, "seed");  // they must be valid
  onnx::write_model(real.model, folder / "float.onnx");
  onnx::write_model(integer.model, folder / "quantised.onnx");
  return 0;
}
