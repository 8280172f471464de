// What each ONNX operator becomes: imported graphs against the same network written by hand, node by node and weight by
// weight. That those run right is the other tests' business.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "calib/quantise.h"
#include "models/onnx_model.h"
#include "tests/onnx_models.h"
#include "tests/program_oracle.h"
#include "tests/random_graph.h"

using namespace octet;
using namespace octet::test;

namespace {

constexpr float kMost = std::numeric_limits<float>::max();

void set(Graph& graph, int node, const std::string& key, const Tensor& value) {
  for (Parameter& p : graph.node(node).parameters) {
    if (p.key == key) p.value = value;
  }
}

// The first difference of two graphs; empty when there is none.
std::string difference(const Graph& a, const Graph& b) {
  if (a.nodes().size() != b.nodes().size()) return fmt::format("{} and {} nodes", a.nodes().size(), b.nodes().size());
  for (std::size_t i = 0; i < a.nodes().size(); ++i) {
    const Node &x = a.nodes()[i], &y = b.nodes()[i];
    if (x.name != y.name) return fmt::format("named {} and {}", x.name, y.name);
    const bool same = x.op == y.op && x.inputs == y.inputs && x.output == y.output && x.window == y.window &&
                      x.groups == y.groups && x.ceil_mode == y.ceil_mode && x.eps == y.eps && x.alpha == y.alpha &&
                      x.beta == y.beta && x.count_include_pad == y.count_include_pad;
    if (!same) return fmt::format("{}: {} and {} differ in their geometry", x.name, name_of(x.op), name_of(y.op));
    if (x.parameters.size() != y.parameters.size()) return x.name + ": other parameters";
    for (const Parameter& p : x.parameters) {
      const Tensor &v = p.value, &w = y.parameter(p.key);
      if (v.shape() != w.shape())
        return fmt::format("{}.{}: {} and {}", x.name, p.key, v.shape().str(), w.shape().str());
      if (!std::ranges::equal(v.span<float>(), w.span<float>()))
        return fmt::format("{}.{}: other values", x.name, p.key);
    }
  }
  for (std::size_t i = 0; i < a.edges().size(); ++i) {
    if (a.edges()[i].shape != b.edges()[i].shape) return a.edges()[i].name + ": another shape";
  }
  return a.output_edge() == b.output_edge() ? "" : "other outputs";
}

Graph with_input(Shape shape = {3, 8, 9}) {
  Graph g("made");
  g.input("x", shape);
  return g;
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("convolutions: groups, dilation, uneven padding, auto_pad, names from the checkpoint") {
  if (!onnx::available()) return;
  ModelMaker m({-1, 4, 8, 9});
  m.constant("layer1.0.weight", ramp({6, 2, 3, 2})).constant("b", ramp({6}));
  m.node("Conv", {"x", "layer1.0.weight", "b"}, {"y"},
         {integer("group", 2), integers("kernel_shape", {3, 2}), integers("strides", {2, 1}),
          integers("dilations", {2, 3}), integers("pads", {1, 2, 3, 0})});
  Graph g = with_input({4, 8, 9});
  g.set_output(g.conv2d("layer1.0", 0, 6, {.window = {3, 2, 2, 1, 1, 2, 3, 0, 2, 3}, .groups = 2}));
  set(g, 0, "weight", ramp({6, 2, 3, 2})), set(g, 0, "bias", ramp({6}));
  CHECK(difference(m.graph(), g) == "");

  // SAME: 9 wide, kernel 3, stride 2 makes 5 wide: 2 columns of padding; 8 high makes 4: one row, at the end or before.
  for (const bool upper : {true, false}) {
    ModelMaker same({-1, 4, 8, 9});
    same.constant("w", ramp({6, 4, 3, 3}));
    same.node("Conv", {"x", "w"}, {"y"},
              {text("auto_pad", upper ? "SAME_UPPER" : "SAME_LOWER"), integers("strides", {2, 2})}, "first");
    Graph wanted = with_input({4, 8, 9});
    const int top = upper ? 0 : 1;
    wanted.set_output(
        wanted.conv2d("first", 0, 6, {.window = {3, 3, 2, 2, top, 1, 1 - top, 1}, .groups = 1, .bias = false}));
    set(wanted, 0, "weight", ramp({6, 4, 3, 3}));
    CHECK(difference(same.graph(), wanted) == "");
  }
}

TEST_CASE("Gemm, MatMul + Add, batch-norm and scales by constants") {
  if (!onnx::available()) return;
  ModelMaker m({1, 3});
  m.constant("B", ramp({3, 2})).constant("C", ramp({1, 2}));
  m.node("Gemm", {"x", "B", "C"}, {"y"}, {real("alpha", 2.0f), real("beta", 0.5f)});
  Graph g = with_input({3});
  g.set_output(g.linear("y", 0, 2));
  const Tensor matrix = ramp({3, 2});
  const auto b = matrix.span<float>();
  set(g, 0, "weight", reals({2, 3}, {2 * b[0], 2 * b[2], 2 * b[4], 2 * b[1], 2 * b[3], 2 * b[5]}));
  set(g, 0, "bias", reals({2}, {0.0625f, -0.125f}));
  CHECK(difference(m.graph(), g) == "");

  ModelMaker two({1, 3});
  two.constant("B", ramp({3, 2})).constant("C", ramp({2}));
  two.node("MatMul", {"x", "B"}, {"t"}).node("Add", {"C", "t"}, {"y"});
  const Graph folded = two.graph();
  REQUIRE(folded.nodes().size() == 2);
  CHECK(folded.nodes()[1].op == Op::batch_norm);  // which every form of running folds into the linear layer
  const QGraph one = calib::as_float(folded);
  REQUIRE(one.nodes.size() == 1);
  CHECK(one.nodes[0].bias.span<float>()[1] == -0.25f);

  ModelMaker norm({-1, 3, 4, 4});
  for (const char* key : {"bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"}) norm.constant(key, ramp({3}));
  norm.constant("bn.running_var", reals({3}, {1, 2, 3}));
  norm.node("BatchNormalization", {"x", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"}, {"y"},
            {real("epsilon", 0.5f), real("momentum", 0.9f)});
  Graph n = with_input({3, 4, 4});
  n.set_output(n.batch_norm("bn", 0, 0.5f));
  for (const char* key : {"weight", "bias", "running_mean"}) set(n, 0, key, ramp({3}));
  set(n, 0, "running_var", reals({3}, {1, 2, 3}));
  CHECK(difference(norm.graph(), n) == "");

  // (x - mean) / std inside of the graph.
  ModelMaker scaled({-1, 3, 4, 4});
  scaled.constant("mean", reals({1, 3, 1, 1}, {1, 2, 3})).constant("std", reals({3, 1, 1}, {2, 4, 8}));
  scaled.node("Sub", {"x", "mean"}, {"c"}).node("Div", {"c", "std"}, {"y"});
  const Graph s = scaled.graph();
  REQUIRE(s.nodes().size() == 2);
  CHECK(s.nodes()[0].parameter("bias").span<float>()[2] == -3.0f);
  CHECK(s.nodes()[1].parameter("weight").span<float>()[2] == 0.125f);
}

TEST_CASE("activations go into the layer before them, else they are functions of their own") {
  if (!onnx::available()) return;
  ModelMaker m({-1, 2, 4, 4});
  m.constant("w", ramp({2, 2, 1, 1})).constant("0", reals({}, {0})).constant("6", reals({}, {6}));
  m.constant("4", reals({}, {4}));
  m.node("Conv", {"x", "w"}, {"a"}).node("Relu", {"a"}, {"b"});
  m.node("Conv", {"b", "w"}, {"c"}).node("Clip", {"c", "0", "6"}, {"d"});
  m.node("Conv", {"d", "w"}, {"e"}).node("Clip", {"e", "", "4"}, {"f"});
  m.node("Sigmoid", {"f"}, {"g"}).node("Relu", {"g"}, {"h"}).node("HardSwish", {"h"}, {"i"});
  m.node("HardSigmoid", {"i"}, {"j"}, {real("alpha", 0.25f)}).node("LeakyRelu", {"j"}, {"k"}, {real("alpha", 0.5f)});
  m.node("Mul", {"k", "f"}, {"l"}).node("Softmax", {"l"}, {"y"}, {integer("axis", 1)});
  Graph g = with_input({2, 4, 4});
  const ConvOptions pointwise{.bias = false};
  EdgeId x = g.relu("b", g.conv2d("a", 0, 2, pointwise));
  x = g.relu6("d", g.conv2d("c", x, 2, pointwise));
  const EdgeId f = g.function("f", Op::clip, g.conv2d("e", x, 2, pointwise), -kMost, 4);
  x = g.function("h", Op::clip, g.function("g", Op::sigmoid, f), 0, kMost);
  x = g.function("j", Op::hard_sigmoid, g.function("i", Op::hard_swish, x), 0.25f, 0.5f);
  x = g.mul("l", g.function("k", Op::leaky_relu, x, 0.5f), f);
  g.set_output(g.softmax("y", x));
  for (const int node : {0, 2, 4}) set(g, node, "weight", ramp({2, 2, 1, 1}));
  CHECK(difference(m.graph(), g) == "");
  // Clip's limits were attributes before operator set 11.
  ModelMaker old({-1, 2, 4, 4}, 10);
  old.constant("w", ramp({2, 2, 1, 1})).node("Conv", {"x", "w"}, {"a"});
  old.node("Clip", {"a"}, {"y"}, {real("min", 0), real("max", 6)});
  CHECK(old.graph().nodes()[1].op == Op::relu6);
}

TEST_CASE("pools, sums, concatenation and what computes nothing") {
  if (!onnx::available()) return;
  ModelMaker m({-1, 3, 8, 9});
  m.constant("axes", longs({-1, -2}));
  m.node("MaxPool", {"x"}, {"a", "mask"},
         {integers("kernel_shape", {3, 3}), integers("strides", {2, 2}), integers("pads", {1, 1, 1, 1}),
          integer("ceil_mode", 1)});
  m.node("AveragePool", {"a"}, {"b"},
         {integers("kernel_shape", {2, 2}), integers("pads", {0, 0, 1, 1}), integer("count_include_pad", 1)});
  m.node("Identity", {"b"}, {"b2"}).node("Dropout", {"b2"}, {"b3", "dropped"});
  m.node("Sum", {"b3", "a", "a"}, {"c"}).node("Concat", {"c", "b"}, {"d"}, {integer("axis", -3)});
  m.node("ReduceMean", {"d"}, {"e"}, {integers("axes", {2, 3}), integer("keepdims", 0)});
  m.node("Unsqueeze", {"e", "axes"}, {"f"}).node("Squeeze", {"f", "axes"}, {"g"}).node("Flatten", {"g"}, {"y"});
  m.node("Relu", {"x"}, {"nobody wants this"});
  Graph g = with_input();
  const EdgeId a = g.max_pool("a", 0, Window::square(3, 2, 1), true);
  const EdgeId b = g.avg_pool("b", a, {2, 2, 1, 1, 0, 0, 1, 1}, false, true);
  const EdgeId c = g.add("c", {b, a, a});
  g.set_output(g.flatten("e.flatten", g.global_avg_pool("e", g.concat("d", {c, b}))));
  CHECK(difference(m.graph(), g) == "");
}

TEST_CASE("the batch that exporters keep by Shape, Gather and Concat") {
  if (!onnx::available()) return;
  ModelMaker m({-1, 3, 8, 9});
  m.constant("i", Tensor::of<std::int64_t>(Shape{}, std::vector<std::int64_t>{0})).constant("rest", longs({-1}));
  m.constant("axis", longs({0}));
  m.node("Shape", {"x"}, {"s"}).node("Gather", {"s", "i"}, {"n"}, {integer("axis", 0)});
  m.node("Unsqueeze", {"n", "axis"}, {"n1"}).node("Concat", {"n1", "rest"}, {"t"}, {integer("axis", 0)});
  m.node("Reshape", {"x", "t"}, {"y"});
  Graph g = with_input();
  g.set_output(g.flatten("y", 0));
  const std::string error = m.error();
  CHECK_MESSAGE(difference(m.graph(), g) == "", error);
  // A transpose of a channels-last input, and one that moves data.
  ModelMaker last({-1, 8, 9, 3});
  last.node("Transpose", {"x"}, {"t"}, {integers("perm", {0, 3, 1, 2})}).node("Flatten", {"t"}, {"y"});
  CHECK(difference(last.graph(), g) == "");
  ModelMaker moved({-1, 3, 8, 9});
  moved.node("Relu", {"x"}, {"a"}).node("Transpose", {"a"}, {"t"}, {integers("perm", {0, 2, 3, 1})});
  moved.node("Flatten", {"t"}, {"y"});
  CHECK(holds(moved.error(), "'t'"));
}

TEST_CASE("refusals name the node, the operator and what is supported") {
  if (!onnx::available()) return;
  const auto error = [](const std::string& op, std::vector<Attribute> attributes = {}) {
    ModelMaker m({-1, 3, 8, 9});
    m.constant("w", ramp({2, 3, 3, 3}));
    const bool weighted = op == "Conv";
    m.node(op, weighted ? std::vector<std::string>{"x", "w"} : std::vector<std::string>{"x"}, {"y"}, attributes, "bad");
    return m.error();
  };
  CHECK(error("Einsum").starts_with("Einsum 'bad': this operator is not supported; these are: Add, AveragePool"));
  CHECK(holds(error("Relu", {real("slope", 1)}), "Relu 'bad': the attribute 'slope' is not supported"));
  CHECK(holds(error("Conv", {integer("strides", 1)}), "Conv 'bad': its attribute 'strides' is of another type"));
  CHECK(holds(error("Conv", {integers("strides", {0, 0})}), "bad"));
  CHECK(holds(error("Conv", {integers("pads", {1 << 30, 0, 0, 0})}), "bad"));
  CHECK(holds(error("Conv", {integers("dilations", {1 << 20, 1})}), "bad"));
  CHECK(holds(error("Conv", {integer("group", -1)}), "bad"));
  CHECK(holds(error("Conv", {text("auto_pad", "UP")}), "auto_pad 'UP'"));
  CHECK(holds(error("MaxPool", {integers("kernel_shape", {9, 9})}), "bad"));
  CHECK(holds(error("ReduceMean", {integers("axes", {1})}), "bad"));
  CHECK(holds(error("Softmax", {integer("axis", 3)}), "bad"));

  ModelMaker cycle({-1, 3, 8, 9});
  cycle.node("Add", {"x", "b"}, {"a"}).node("Relu", {"a"}, {"b"}).node("Relu", {"b"}, {"y"});
  CHECK(holds(cycle.error(), "Add 'a': its input 'b' is not made before it is used"));
  ModelMaker twice({-1, 3, 8, 9});
  twice.node("Relu", {"x"}, {"y"}).node("Relu", {"x"}, {"y"});
  CHECK(holds(twice.error(), "made twice"));
  ModelMaker nothing({-1, 3, 8, 9});
  CHECK(holds(nothing.error(), "not computed from its input"));
  ModelMaker dynamic({-1, 3, -1, -1});
  dynamic.node("Relu", {"x"}, {"y"});
  CHECK(holds(dynamic.error(), "[?, 3, ?, ?]"));
  ModelMaker old({-1, 3, 8, 9}, 6);
  old.node("Relu", {"x"}, {"y"});
  CHECK(holds(old.error(), "operator set 6; 7 to 21 are supported"));
}

TEST_CASE("an imported network calibrates and runs in integers; softmax and products stay in float and say why") {
  if (!onnx::available()) return;
  ModelMaker m({-1, 3, 8, 8});
  m.constant("conv1.weight", ramp({4, 3, 3, 3})).constant("conv2.weight", ramp({4, 4, 1, 1}));
  m.constant("fc.weight", ramp({5, 4}));
  m.node("Conv", {"x", "conv1.weight"}, {"a"}, {integers("pads", {1, 1, 1, 1})}).node("HardSwish", {"a"}, {"b"});
  m.node("GlobalAveragePool", {"b"}, {"p"}).node("Conv", {"p", "conv2.weight"}, {"c"}).node("Sigmoid", {"c"}, {"s"});
  m.node("Mul", {"s", "b"}, {"d"}).node("GlobalAveragePool", {"d"}, {"e"}).node("Flatten", {"e"}, {"f"});
  m.node("Gemm", {"f", "fc.weight"}, {"g"}, {integer("transB", 1)}).node("Softmax", {"g"}, {"y"});
  Graph graph = m.graph();
  onnx::observe_activations(graph);
  Random random(3);
  const Tensor input = random.tensor({2, 3, 8, 8}, 2.0);
  for (const auto scheme : {calib::Scheme::symmetric, calib::Scheme::affine}) {
    const QGraph network = calib::quantise(graph, ranges_for(graph, input, scheme));
    for (const QNode& n : network.nodes) {
      const bool stays = n.op == Op::mul || n.op == Op::softmax;
      const bool between = n.op == Op::quantise || n.op == Op::dequantise;
      CHECK_MESSAGE((n.precision == Precision::int8) == (!stays && !between), n.name << ": " << n.why);
      if (stays) CHECK(holds(n.why, "has no integer form"));
    }
    ThreadPool pool(1);
    const Run run = run_once(network, {.batch = 2, .keep_edges = true}, input, pool);
    const Verdict verdict = compare(network, reals_of(input), run, 2);
    CHECK_MESSAGE(verdict.error.empty(), verdict.error);
    CHECK(verdict.integer_edges >= 8);
  }
}

TEST_CASE("preprocessing by layout, or by the file beside the model") {
  const auto of = [](Shape in, int outputs) {
    Graph g("net");
    const EdgeId x = g.input("x", in);
    g.set_output(g.linear("fc", g.flatten("flatten", x), outputs));
    return models::onnx_preprocess("/nowhere/net.onnx", g);
  };
  const models::Preprocess lite = of({3, 224, 224}, 1000), background = of({3, 224, 224}, 1001),
                           tiny = of({3, 32, 32}, 10);
  CHECK(lite.resize == 256);
  CHECK(lite.crop == 224);
  CHECK(lite.mean[0] == 127.0f);
  CHECK(lite.std[2] == 128.0f);
  CHECK(background.mean[1] == 127.5f);
  CHECK(background.label_offset == 1);
  CHECK(tiny.resize == 0);
  CHECK(tiny.crop == 32);
  CHECK(tiny.mean[0] == doctest::Approx(123.675));
  CHECK(tiny.std[1] == doctest::Approx(57.12));
}
