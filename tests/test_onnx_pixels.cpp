// Pad, Resize and Upsample: which layers they become, which take a border in as their own, and what is refused.
#include <doctest/doctest.h>

#include "calib/quantise.h"
#include "runtime/onnx/lower_quantised.h"
#include "tests/onnx_models.h"
#include "tests/program_graphs.h"

using namespace octet;
using namespace octet::test;

namespace {

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

const std::vector<std::int64_t> kBorder{0, 0, 1, 2, 0, 0, 0, 3};  // top 1, left 2, bottom 0, right 3

// The operations of a network, in order.
std::string operations(const Graph& graph) {
  std::string text;
  for (const Node& node : graph.nodes()) text += std::string(text.empty() ? "" : " ") + name_of(node.op);
  return text;
}

// x -> [Relu] -> Pad -> `op` with a 4x4 window.
ModelMaker padded(const std::string& op, std::vector<Attribute> attributes, bool relu = false,
                  const std::vector<std::int64_t>& border = kBorder) {
  ModelMaker m({-1, 2, 6, 7});
  m.constant("pads", longs(border)).constant("w", ramp({3, 2, 4, 4}));
  if (relu) m.node("Relu", {"x"}, {"r"});
  m.node("Pad", {relu ? "r" : "x", "pads"}, {"p"}, {text("mode", "constant")}, "border");
  if (op != "Conv") attributes.push_back(integers("kernel_shape", {4, 4}));
  m.node(op, op == "Conv" ? std::vector<std::string>{"p", "w"} : std::vector<std::string>{"p"}, {"y"}, attributes);
  return m;
}

Tensor outputs(const Graph& graph, const Tensor& input) {
  ThreadPool pool(1);
  return run_once(calib::as_float(graph), {.batch = static_cast<int>(input.shape()[0])}, input, pool).output;
}

}  // namespace

TEST_CASE("a border goes into the layer behind it where that means the same") {
  if (!onnx::available()) return;
  const Graph conv = padded("Conv", {integers("pads", {1, 1, 1, 1})}).graph();
  CHECK(operations(conv) == "conv2d");
  CHECK(conv.nodes()[0].window == Window{4, 4, 1, 1, 2, 3, 1, 4});
  CHECK(operations(padded("Conv", {text("auto_pad", "VALID")}).graph()) == "conv2d");
  CHECK(operations(padded("Conv", {text("auto_pad", "SAME_UPPER")}).graph()) == "pad conv2d");

  const Graph average = padded("AveragePool", {}).graph();
  CHECK(operations(average) == "avg_pool");
  CHECK(average.nodes()[0].count_include_pad);
  CHECK(operations(padded("AveragePool", {integer("ceil_mode", 1)}).graph()) == "pad avg_pool");
  CHECK(operations(padded("AveragePool", {integers("pads", {1, 0, 0, 0})}).graph()) == "pad avg_pool");
  CHECK(operations(padded("AveragePool", {}, false, {0, 0, 4, 0, 0, 0, 0, 0}).graph()) == "pad avg_pool");

  // A maximum leaves padding out: only where nothing is below the border's zeros is that the same.
  CHECK(operations(padded("MaxPool", {}).graph()) == "pad max_pool");
  CHECK(operations(padded("MaxPool", {}, true).graph()) == "clip max_pool");
}

TEST_CASE("taken in or not, a border changes no output") {
  if (!onnx::available()) return;
  Random random(3);
  const Tensor input = random.tensor(Shape{2, 2, 6, 7}, 3.0);
  for (const char* op : {"Conv", "AveragePool", "MaxPool"}) {
    for (const bool relu : {false, true}) {
      ModelMaker apart = padded(op, {}, relu);
      apart.model.nodes.back().inputs[0] = "k";  // something in between that the border cannot pass
      apart.model.nodes.insert(
          apart.model.nodes.end() - 1,
          {.op_type = "LeakyRelu", .inputs = {"p"}, .outputs = {"k"}, .attributes = {real("alpha", 1)}});
      const Tensor a = outputs(padded(op, {}, relu).graph(), input), b = outputs(apart.graph(), input);
      REQUIRE(a.shape() == b.shape());
      const auto x = a.span<float>(), y = b.span<float>();
      for (std::size_t i = 0; i < x.size(); ++i) CHECK(x[i] == doctest::Approx(y[i]).epsilon(1e-6));
    }
  }
}

TEST_CASE("a border that two layers read, or that ends the network, is a layer of its own") {
  if (!onnx::available()) return;
  ModelMaker m = padded("Conv", {});
  m.constant("w1", ramp({3, 2, 4, 4}));
  m.node("Conv", {"p", "w1"}, {"z"}).node("Add", {"y", "z"}, {"s"});
  m.model.outputs[0].name = "s";
  CHECK(operations(m.graph()) == "conv2d conv2d add");  // each with its own padding
  ModelMaker end({-1, 2, 6, 7});
  end.constant("pads", longs(kBorder)).node("Pad", {"x", "pads"}, {"y"}, {}, "border");
  const Graph graph = end.graph();
  CHECK(operations(graph) == "pad");
  CHECK(graph.nodes()[0].name == "border");
  CHECK(graph.edges().back().shape == Shape{2, 7, 12});
  ModelMaker old({-1, 2, 6, 7}, 10);
  old.node("Pad", {"x"}, {"y"}, {integers("pads", kBorder), real("value", 0)});
  CHECK(operations(old.graph()) == "pad");
  ModelMaker none({-1, 2, 6, 7});
  none.constant("pads", longs(std::vector<std::int64_t>(8, 0)))
      .node("Pad", {"x", "pads"}, {"p"})
      .node("Relu", {"p"}, {"y"});
  CHECK(operations(none.graph()) == "clip");
}

TEST_CASE("borders that are refused") {
  if (!onnx::available()) return;
  const auto error = [](std::vector<std::int64_t> pads, std::vector<Attribute> attributes = {}, float value = 0) {
    ModelMaker m({-1, 2, 6, 7});
    m.constant("pads", longs(std::move(pads))).constant("v", reals({}, {value}));
    m.node("Pad", {"x", "pads", "v"}, {"y"}, std::move(attributes), "border");
    return m.error();
  };
  CHECK(error(kBorder) == "(no error)");
  CHECK(holds(error(kBorder, {text("mode", "reflect")}), "Pad 'border': mode 'reflect' is not supported"));
  CHECK(holds(error(kBorder, {}, 1.5f), "Pad 'border': a border of 1.5"));
  CHECK(holds(error({0, 1, 0, 0, 0, 0, 0, 0}), "Pad 'border': pads the batch or the channels"));
  CHECK(holds(error({0, 0, -1, 0, 0, 0, 0, 0}), "Pad 'border': pads holds -1"));
  CHECK(holds(error({0, 0, std::int64_t{1} << 40, 0, 0, 0, 0, 0}), "Pad 'border': pads holds 1099511627776"));
  CHECK(holds(error({1, 1}), "Pad 'border': pads has 2 values"));
}

TEST_CASE("Resize and Upsample by whole factors repeat pixels") {
  if (!onnx::available()) return;
  const auto made = [](std::int64_t opset, const std::string& op, std::vector<Attribute> attributes,
                       std::vector<float> scales = {1, 1, 2, 3}, bool sizes = false) {
    ModelMaker m({-1, 2, 6, 7}, opset);
    const auto count = static_cast<std::int64_t>(scales.size());
    m.constant("s", reals({count}, std::move(scales))).constant("z", longs({1, 2, 12, 21}));
    std::vector<std::string> inputs{"x", "s"};
    if (opset >= 11) inputs = {"x", "", "s"};
    if (sizes) inputs = {"x", "", "", "z"};
    m.node(op, inputs, {"y"}, std::move(attributes), "grow");
    return m;
  };
  const auto asymmetric = text("coordinate_transformation_mode", "asymmetric");
  for (ModelMaker& m : std::vector<ModelMaker>{made(9, "Upsample", {text("mode", "nearest")}), made(10, "Resize", {}),
                                               made(13, "Resize", {}),  // half_pixel, round_prefer_floor
                                               made(13, "Resize", {asymmetric, text("nearest_mode", "floor")}),
                                               made(13, "Resize", {text("mode", "nearest")}, {1, 1, 2, 3}, true),
                                               made(19, "Resize", {integer("antialias", 0)})}) {
    const Graph graph = m.graph();
    REQUIRE(operations(graph) == "upsample");
    CHECK(graph.nodes()[0].window == Window{.stride_h = 2, .stride_w = 3});
    CHECK(graph.edges().back().shape == Shape{2, 12, 21});
  }
  const Graph graph = made(13, "Resize", {}).graph();
  const Tensor input = Random(1).tensor(Shape{1, 2, 6, 7}, 1.0), output = outputs(graph, input);
  for (std::size_t c = 0; c < 2; ++c) {
    for (std::size_t y = 0; y < 12; ++y) {
      for (std::size_t x = 0; x < 21; ++x) {
        CHECK(output.span<float>()[(c * 12 + y) * 21 + x] == input.span<float>()[(c * 6 + y / 2) * 7 + x / 3]);
      }
    }
  }
  CHECK(holds(made(13, "Resize", {text("mode", "linear")}).error(), "Resize 'grow': mode 'linear' is not supported"));
  CHECK(holds(made(13, "Resize", {}, {1, 1, 1.5f, 2}).error(), "Resize 'grow': a factor of 1.5"));
  CHECK(holds(made(13, "Resize", {}, {1, 1, 0.5f, 2}).error(), "Resize 'grow': a factor of 0.5"));
  CHECK(holds(made(13, "Resize", {}, {1, 2, 2, 2}).error(), "Resize 'grow': four scales"));
  CHECK(holds(made(13, "Resize", {asymmetric, text("nearest_mode", "ceil")}).error(), "shows other pixels"));
  CHECK(holds(made(13, "Resize", {text("coordinate_transformation_mode", "align_corners")}).error(), "shows other"));
  CHECK(holds(made(13, "Resize", {}, {1, 1, 1e9f, 2}).error(), "a factor of 1000000000"));
}

TEST_CASE("between Q and DQ of one step they stay integers") {
  if (!onnx::available()) return;
  for (const bool inside : {false, true}) {  // the operator on integers itself, or Q - DQ on both sides of it
    ModelMaker m({-1, 2, 3, 3});
    m.constant("s", reals({}, {0.5f})).constant("z", Tensor::of<std::uint8_t>(Shape{}, std::vector<std::uint8_t>{7}));
    m.constant("pads", longs({0, 0, 1, 0, 0, 0, 0, 2})).constant("scales", reals({4}, {1, 1, 2, 2}));
    m.node("QuantizeLinear", {"x", "s", "z"}, {"q"});
    if (!inside) m.node("DequantizeLinear", {"q", "s", "z"}, {"d"});
    m.node("Pad", {inside ? "q" : "d", "pads", inside ? "z" : ""}, {"p"});
    m.node("Resize", {"p", "", "scales"}, {"u"});
    if (!inside) m.node("QuantizeLinear", {"u", "s", "z"}, {"uq"});
    m.node("DequantizeLinear", {inside ? "u" : "uq", "s", "z"}, {"y"});
    std::vector<std::string> notes;
    const QGraph network = onnx::lower_quantised(m.graph(), notes);
    CHECK(notes.empty());
    REQUIRE(network.nodes.size() == 4);
    for (const int node : {1, 2}) CHECK(network.nodes[static_cast<std::size_t>(node)].precision == Precision::int8);
    ThreadPool pool(1);
    const Tensor input = Random(2).tensor(Shape{1, 2, 3, 3}, 4.0);
    const Tensor output = run_once(network, {.batch = 1}, input, pool).output;
    const auto from = input.span<float>(), to = output.span<float>();
    CHECK(to[0] == 0.0f);  // the border
    CHECK(to[2 * 10] == doctest::Approx(std::nearbyint(from[0] * 2) / 2));
    CHECK(to[2 * 10 + 9] == 0.0f);
  }
}
