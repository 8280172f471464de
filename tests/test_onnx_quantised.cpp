// Quantised ONNX files: what they become, and that a network exported and imported again is the same network.
#include <doctest/doctest.h>

#include <cmath>

#include "runtime/arithmetic.h"
#include "runtime/onnx/export.h"
#include "runtime/onnx/lower_quantised.h"
#include "runtime/onnx/range_metadata.h"
#include "tests/onnx_models.h"
#include "tests/program_graphs.h"
#include "tests/same_network.h"

using namespace octet;
using namespace octet::test;

namespace {

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

struct Lowered {
  QGraph network;
  std::vector<std::string> notes;
};

Lowered lower(const onnx::Model& model) {
  Lowered result;
  const Graph graph = onnx::import_graph(model, "made", &result.notes);
  REQUIRE(onnx::is_quantised(graph));
  result.network = onnx::lower_quantised(graph, result.notes, onnx::float_layers(model));
  return result;
}

QGraph round_trip(const QGraph& network, int opset = 13, bool dynamic = false) {
  const onnx::Model model = onnx::export_model(network, {opset, dynamic});
  return lower(onnx::parse_model(onnx::model_bytes(model), ".", "made.onnx")).network;
}

Tensor scale(float value) { return reals({}, {value}); }
template <class T>
Tensor one(T value) {
  return Tensor::of<T>(Shape{}, std::vector<T>{value});
}

// x -> Q -> DQ, weights [2,2,1,1] per channel with a bias, Conv, Q, DQ.
ModelMaker convolution() {
  ModelMaker m({-1, 2, 3, 3});
  m.constant("sx", scale(0.5f)).constant("zx", one<std::uint8_t>(3)).constant("sy", scale(0.25f));
  m.constant("zy", one<std::uint8_t>(10));
  m.constant("w", Tensor::of<std::int8_t>({2, 2, 1, 1}, std::vector<std::int8_t>{1, -2, 3, 127}));
  m.constant("sw", reals({2}, {0.5f, 0.125f})).constant("zw", Tensor(DType::s8, {2}));
  m.constant("b", Tensor::of<std::int32_t>({2}, std::vector<std::int32_t>{7, -9}))
      .constant("sb", reals({2}, {0.25f, 0.0625f}));
  return m;
}

}  // namespace

TEST_CASE("a network survives export and import: the same nodes, steps, weights, biases") {
  if (!onnx::available()) return;
  for (const auto scheme : {calib::Scheme::symmetric, calib::Scheme::affine}) {
    for (const auto make : {chain, borders, residuals, resampled, transposed}) {
      const Quantised q = quantised(make(), scheme);
      for (const int opset : {13, 19, 21}) {
        const QGraph again = round_trip(q.graph, opset, opset == 19);
        CHECK_MESSAGE(difference(q.graph, again) == "", q.graph.name << " " << opset);
      }
    }
  }
}

TEST_CASE("exact sums: each input of a sum has a scale of rule 11's 16 bits, and the network is read back the same") {
  if (!onnx::available()) return;
  for (const auto scheme : {calib::Scheme::symmetric, calib::Scheme::affine}) {
    const Quantised q = quantised(residuals(), scheme);
    onnx::Model model = onnx::export_model(q.graph, {.exact_sums = true});
    CHECK(difference(q.graph, lower(onnx::parse_model(onnx::model_bytes(model), ".", "made.onnx")).network) == "");
    int own = 0;
    for (const onnx::NodeProto& node : model.nodes) {
      if (node.op_type != "Add" && node.op_type != "Sum") continue;
      const QNode& sum = *std::ranges::find(q.graph.nodes, node.name, &QNode::name);
      const float step = q.graph.edges[static_cast<std::size_t>(sum.output)].quant.step;
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        const float in = q.graph.edges[static_cast<std::size_t>(sum.inputs[i])].quant.step;
        const auto scale = model.initializers.find(node.inputs[i] + "_scale");
        REQUIRE(scale != model.initializers.end());
        const float ratio = arithmetic::add_multiplier(in, step);
        CHECK(std::fabs(scale->second.span<float>()[0] / step - ratio) <= ratio * 0x1p-22f);
        ++own;
      }
    }
    CHECK(own > 3);
    // Without the metadata such a scale contradicts its QuantizeLinear.
    model.metadata.erase("octet.exact_sums");
    CHECK_THROWS_WITH_AS(lower(model), doctest::Contains("its scale and zero point are not those"), Error);
  }
}

TEST_CASE("random networks give the same outputs after export and import, islands and dead edges included") {
  if (!onnx::available()) return;
  int equal_graphs = 0;
  for (std::uint64_t seed = 1; seed <= 80; ++seed) {
    Random random(seed);
    const Graph graph = GraphMaker(random, true).make();
    const Tensor input = random.tensor(with_batch(2, graph.edges()[0].shape), 2.0);
    const QGraph network = calib::quantise(graph, random_ranges(graph, input, random));
    if (std::ranges::none_of(network.nodes, [](const QNode& n) { return n.precision == Precision::int8; })) continue;
    // (ONNX has no scale for each output channel of each group of theirs.)
    if (std::ranges::any_of(network.nodes, [](const QNode& n) {
          return n.op == Op::conv_transpose2d && n.groups > 1 && n.precision == Precision::int8;
        })) {
      continue;
    }
    const QGraph again = round_trip(network, 14);
    ThreadPool pool(1);
    const Run before = run_once(network, {.batch = 2}, input, pool), after = run_once(again, {.batch = 2}, input, pool);
    const auto a = before.output.span<float>(), b = after.output.span<float>();
    CHECK_MESSAGE(std::equal(a.begin(), a.end(), b.begin(), b.end()), "seed " << seed);
    equal_graphs += difference(network, again).empty();
  }
  CHECK(equal_graphs > 10);
}

TEST_CASE("QDQ and the operators on integers mean the same network") {
  if (!onnx::available()) return;
  ModelMaker qdq = convolution();
  qdq.node("QuantizeLinear", {"x", "sx", "zx"}, {"xq"}, {}, "in").node("DequantizeLinear", {"xq", "sx", "zx"}, {"xd"});
  qdq.node("DequantizeLinear", {"w", "sw", "zw"}, {"wd"}, {integer("axis", 0)});
  qdq.node("DequantizeLinear", {"b", "sb"}, {"bd"}, {integer("axis", 0)});
  qdq.node("Conv", {"xd", "wd", "bd"}, {"c"}, {}, "conv").node("QuantizeLinear", {"c", "sy", "zy"}, {"yq"});
  qdq.node("DequantizeLinear", {"yq", "sy", "zy"}, {"y"});
  ModelMaker qop = convolution();
  qop.node("QuantizeLinear", {"x", "sx", "zx"}, {"xq"}, {}, "in");
  qop.node("QLinearConv", {"xq", "sx", "zx", "w", "sw", "zw", "sy", "zy", "b"}, {"yq"}, {}, "conv");
  qop.node("DequantizeLinear", {"yq", "sy", "zy"}, {"y"});
  const Lowered a = lower(qdq.reread()), b = lower(qop.reread());
  CHECK(difference(a.network, b.network) == "");
  CHECK(a.notes.empty());
  REQUIRE(a.network.nodes.size() == 3);
  const QNode& conv = a.network.nodes[1];
  CHECK(conv.precision == Precision::int8);
  CHECK(conv.bias_q == std::vector<std::int32_t>{7, -9});
  CHECK(conv.weight.span<std::int8_t>()[3] == 127);
  CHECK(a.network.edges[static_cast<std::size_t>(conv.output)].quant ==
        QuantParams{.step = 0.25f, .zero = 10, .lo = 0, .hi = 255});
}

TEST_CASE("weights: u8 around a zero point, -128, and what does not fit") {
  if (!onnx::available()) return;
  const auto with = [](Tensor weight, Tensor zero) {
    ModelMaker m = convolution();
    m.constant("w", std::move(weight)).constant("zw", std::move(zero)).constant("sw", scale(0.5f));
    m.node("QuantizeLinear", {"x", "sx", "zx"}, {"xq"});
    m.node("QLinearConv", {"xq", "sx", "zx", "w", "sw", "zw", "sy", "zy"}, {"yq"}, {}, "conv");
    m.node("DequantizeLinear", {"yq", "sy", "zy"}, {"y"});
    return lower(m.reread());
  };
  const auto bytes = [](std::vector<std::uint8_t> v) { return Tensor::of<std::uint8_t>({2, 2, 1, 1}, v); };
  const Lowered centred = with(bytes({128, 255, 1, 130}), one<std::uint8_t>(128));
  REQUIRE(centred.network.nodes[1].precision == Precision::int8);
  CHECK(centred.network.nodes[1].weight.span<std::int8_t>()[1] == 127);
  CHECK(centred.network.nodes[1].weight.span<std::int8_t>()[2] == -127);
  const Lowered lowest = with(bytes({128, 255, 0, 130}), one<std::uint8_t>(128));
  CHECK(lowest.network.nodes[1].weight.span<std::int8_t>()[2] == -127);
  REQUIRE(lowest.notes.size() == 1);
  CHECK(holds(lowest.notes[0], "1 weights of -128 became -127"));
  const Lowered skewed = with(bytes({0, 255, 0, 130}), one<std::uint8_t>(20));
  CHECK(std::ranges::any_of(skewed.network.nodes,
                            [](const QNode& n) { return n.op == Op::conv2d && n.precision == Precision::fp32; }));
  CHECK(holds(skewed.notes[0], "beyond [-128, 127]"));
}

TEST_CASE("the form of pytorch-quantization: quantised inputs, batch-norms, real sums, several scales of one edge") {
  if (!onnx::available()) return;
  ModelMaker m({-1, 2, 3, 3});
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, float>>{{"s1", 0.5f}, {"s2", 0.25f}, {"s3", 0.125f}})
    m.constant(name, scale(value));
  m.constant("z", one<std::int8_t>(0))
      .constant("sw", reals({2}, {0.25f, 0.125f}))
      .constant("zw", Tensor(DType::s8, {2}));
  m.constant("a.weight", reals({2, 2, 1, 1}, {1, -0.5f, 0.25f, 1}))
      .constant("b.weight", reals({2, 2, 1, 1}, {2, 1, 1, 2}));
  m.constant("gamma", reals({2}, {2, -1})).constant("beta", reals({2}, {0.5f, 1})).constant("mean", reals({2}, {1, 0}));
  m.constant("var", reals({2}, {4, 1}));
  const auto quantised = [&](const std::string& from, const std::string& by, const std::string& to) {
    m.node("QuantizeLinear", {from, by, "z"}, {to + "q"}).node("DequantizeLinear", {to + "q", by, "z"}, {to});
  };
  const auto weights = [&](const std::string& from, const std::string& to) {
    m.node("QuantizeLinear", {from, "sw", "zw"}, {to + "q"}, {integer("axis", 0)});
    m.node("DequantizeLinear", {to + "q", "sw", "zw"}, {to}, {integer("axis", 0)});
  };
  quantised("x", "s1", "x1"), weights("a.weight", "aw");
  m.node("Conv", {"x1", "aw"}, {"a"}, {}, "a");
  m.node("BatchNormalization", {"a", "gamma", "beta", "mean", "var"}, {"an"}, {real("epsilon", 0.0f)}, "norm");
  m.node("Relu", {"an"}, {"ar"}, {}, "relu");
  quantised("ar", "s2", "a2"), quantised("ar", "s3", "a3"), weights("b.weight", "bw");
  m.node("Conv", {"a2", "bw"}, {"b"}, {}, "b").node("Conv", {"a3", "bw"}, {"b2"}, {}, "b2");
  m.node("Add", {"b", "b2"}, {"sum"}).node("Add", {"sum", "ar"}, {"y"});
  const Lowered result = lower(m.reread());
  int convolutions = 0;
  for (const QNode& n : result.network.nodes) {
    if (n.op != Op::conv2d) continue;
    ++convolutions;
    CHECK_MESSAGE(n.precision == Precision::int8, n.name << ": " << n.why);
  }
  CHECK(convolutions == 3);
  // gamma / sqrt(var) = 1 and -1: the second channel's weights change their sign, beta and mean go into the bias.
  const QNode& a = result.network.nodes[1];
  CHECK(a.name == "a");
  CHECK(a.weight.span<std::int8_t>()[0] == 4);
  CHECK(a.weight.span<std::int8_t>()[3] == -8);
  CHECK(a.weight_step == std::vector<float>{0.25f, 0.125f});
  CHECK(a.bias_q == std::vector<std::int32_t>{-4, 16});  // (0.5 - 1) / (0.5 * 0.25), 1 / (0.5 * 0.125)
  // The integers of x = 1 everywhere: q = 2; channel 0: 0.25 * 0.5 * (2 * (4 - 2) - 4) = 0, channel 1: 1.
  Tensor input(DType::f32, {1, 2, 3, 3});
  std::ranges::fill(input.span<float>(), 1.0f);
  ThreadPool pool(1);
  const Run run = run_once(result.network, {.batch = 1, .keep_edges = true}, input, pool);
  const Verdict verdict = compare(result.network, reals_of(input), run, 1);
  CHECK_MESSAGE(verdict.error.empty(), verdict.error);
}

TEST_CASE("what cannot stay integer is named, with the reason") {
  if (!onnx::available()) return;
  ModelMaker m({-1, 2, 3, 3});
  m.constant("s", scale(0.5f)).constant("z", one<std::uint8_t>(3));
  m.node("QuantizeLinear", {"x", "s", "z"}, {"q"}).node("DequantizeLinear", {"q", "s", "z"}, {"d"});
  m.node("Mul", {"d", "d"}, {"m"}, {}, "product").node("QuantizeLinear", {"m", "s", "z"}, {"mq"});
  m.node("DequantizeLinear", {"mq", "s", "z"}, {"md"}).node("GlobalAveragePool", {"md"}, {"y"}, {}, "mean");
  const Lowered result = lower(m.reread());
  REQUIRE(result.notes.size() == 2);
  CHECK(result.notes[0] == "product (mul) runs in float: mul has no integer form");
  CHECK(result.notes[1] == "mean (global_avg_pool) runs in float: its output mean is not quantised (in one way)");
}

TEST_CASE("quantised files that contradict themselves") {
  if (!onnx::available()) return;
  const auto error = [](Tensor s, Tensor z, Tensor s2, Tensor z2) {
    ModelMaker m({-1, 2, 3, 3});
    m.constant("s", std::move(s))
        .constant("z", std::move(z))
        .constant("s2", std::move(s2))
        .constant("z2", std::move(z2));
    m.node("QuantizeLinear", {"x", "s", "z"}, {"q"}, {}, "Q")
        .node("DequantizeLinear", {"q", "s2", "z2"}, {"y"}, {}, "DQ");
    return m.error();
  };
  const Tensor half = scale(0.5f), zero = one<std::uint8_t>(0);
  CHECK(error(half, zero, half, zero) == "(no error)");
  CHECK(holds(error(scale(0), zero, half, zero), "'Q': a scale of 0"));
  CHECK(holds(error(scale(-1), zero, half, zero), "'Q': a scale of -1"));
  CHECK(holds(error(scale(std::nanf("")), zero, half, zero), "'Q': a scale of nan"));
  CHECK(holds(error(scale(1e-40f), zero, half, zero), "'Q': a scale of"));
  CHECK(holds(error(half, zero, scale(0.25f), zero), "'DQ': its scale and zero point are not those"));
  CHECK(holds(error(half, zero, half, one<std::uint8_t>(1)), "'DQ': its scale and zero point are not those"));
  CHECK(holds(error(half, one<std::int32_t>(0), half, zero), "'Q': to s32"));
  CHECK(holds(error(reals({3}, {1, 1, 1}), Tensor(DType::u8, {3}), half, zero), "a scale a channel"));
  CHECK(holds(error(reals({2}, {1, 1}), Tensor(DType::u8, {2}), half, zero), "'Q': 2 scales along axis 1"));
  CHECK(holds(error(half, Tensor(DType::u8, {2}), half, zero), "'Q': a zero point of u8 2 for 1 scales"));
}

TEST_CASE("exports name their input and output, carry ranges and metadata, and refuse what ONNX cannot say") {
  if (!onnx::available()) return;
  Quantised q = quantised(chain(), calib::Scheme::symmetric);
  q.graph.metadata["preprocess"] = "{}";
  const onnx::Model model = onnx::export_model(q.graph, {.opset = 13, .dynamic_batch = true});
  CHECK(model.inputs[0].name == "input");
  CHECK(model.inputs[0].names[0] == "batch");
  CHECK(model.outputs[0].name == "output");
  CHECK(model.outputs[0].dims == std::vector<std::int64_t>{-1, 4});
  CHECK(model.metadata.at("octet.preprocess") == "{}");
  CHECK(holds(model.metadata.at("octet.ranges"), "image_quantized -127 127\n"));
  CHECK(model.initializers.contains("conv1.weight_quantized"));
  for (const auto& [name, tensor] : model.initializers) {
    if (tensor.dtype() != DType::s8 || !name.ends_with("weight_quantized")) continue;
    for (const std::int8_t w : tensor.span<std::int8_t>()) CHECK(w != -128);
  }
  CHECK_THROWS_AS(onnx::export_model(q.graph, {.opset = 12}), Error);
  QGraph notebook = q.graph;
  notebook.requantisation = Requantisation::notebook;
  CHECK_THROWS_AS(onnx::export_model(notebook, {}), Error);
}

TEST_CASE("Q and DQ only in one part of a network, or everywhere but there") {
  if (!onnx::available()) return;
  Random random(7);
  Graph graph = residuals();
  randomise_weights(graph, random, 0.0);
  observe_all(graph);
  const Tensor input = random.tensor(with_batch(2, graph.edges()[0].shape), 2.0);
  const calib::Ranges ranges = ranges_for(graph, input, calib::Scheme::symmetric);
  const auto quantised_convolutions = [](const onnx::Model& model) {
    std::string names;
    for (const onnx::NodeProto& node : model.nodes) {
      const bool conv = node.op_type == "Conv";
      if (conv && !model.initializers.contains(node.inputs[1])) names += node.name;  // its weight comes from a DQ
    }
    return names;
  };
  for (const bool only : {true, false}) {
    calib::QuantiseOptions options;
    (only ? options.only : options.ignore) = {"a|b"};
    const QGraph network = calib::quantise(graph, ranges, options);
    const onnx::Model model = onnx::export_model(network, {});
    CHECK(quantised_convolutions(model) == (only ? "ab" : "cd"));
    ThreadPool pool(1);
    const Run before = run_once(network, {.batch = 2}, input, pool);
    const Run after = run_once(round_trip(network), {.batch = 2}, input, pool);
    CHECK(equal(before.output, after.output));
  }
}
