// The ImageNet networks: the state-dict keys and shapes of their originals, INT8 from end to end, and the same bytes
// from every instruction set.
#include <doctest/doctest.h>

#include <fmt/format.h>
#include <map>

#include "calib/calibrate.h"
#include "models/data_files.h"
#include "models/dataset.h"
#include "models/efficientnet_lite0/efficientnet_lite0.h"
#include "models/layers.h"
#include "models/loaded_model.h"
#include "models/mobilenet_v2/mobilenet_v2.h"
#include "models/resnet50/resnet50.h"
#include "models/tensor_hash.h"
#include "runtime/error.h"
#include "runtime/io/weights.h"
#include "tests/photos.h"
#include "tests/program.h"
#include "tests/program_graphs.h"

using namespace octet;

namespace {

// Every entry that a PyTorch state dict of the network has, num_batches_tracked included.
std::map<std::string, Shape> state_dict(const Graph& graph) {
  std::map<std::string, Shape> keys;
  for (const Node& node : graph.nodes()) {
    for (const Parameter& p : node.parameters) keys[node.name + "." + p.key] = p.shape;
    if (node.op == Op::batch_norm) keys[node.name + ".num_batches_tracked"] = Shape{};
  }
  return keys;
}

struct Conv {
  std::string name;
  Shape weight, out;
  int stride, groups;
};

std::vector<Conv> convolutions(const Graph& graph) {
  std::vector<Conv> list;
  for (const Node& n : graph.nodes()) {
    if (n.op != Op::conv2d) continue;
    list.push_back({n.name, n.parameters[0].shape, graph.edges()[static_cast<std::size_t>(n.output)].shape,
                    n.window.stride_h, n.groups});
  }
  return list;
}

const Conv& conv_named(const std::vector<Conv>& list, const std::string& name) {
  for (const Conv& conv : list) {
    if (conv.name == name) return conv;
  }
  FAIL("no convolution " << name);
  return list.front();
}

int count(const Graph& graph, Op op) {
  return static_cast<int>(std::ranges::count_if(graph.nodes(), [&](const Node& n) { return n.op == op; }));
}

std::int64_t macs(const Graph& graph) {
  std::int64_t sum = 0;
  for (const Node& n : graph.nodes()) {
    if (n.op != Op::conv2d && n.op != Op::linear) continue;
    const Shape& weight = n.parameters[0].shape;
    sum += graph.edges()[static_cast<std::size_t>(n.output)].shape.elements() * (weight.elements() / weight[0]);
  }
  return sum;
}

// An INT8 version with random weights and the ranges of one random image.
test::Quantised quantised(Graph graph, calib::Granularity weights = calib::Granularity::channel) {
  test::Random random(5);
  graph.seed_weights(5);
  const Shape& side = graph.edges()[0].shape;
  test::Quantised result;
  result.input = random.tensor(test::with_batch(1, side), 2.0);
  calib::CalibrationOptions options;
  options.batch = 1;
  options.weights = weights;
  ThreadPool pool(1);
  calib::Calibrator calibrator(graph, options, pool);
  calibrator.observe(result.input);
  result.graph = calib::quantise(graph, calibrator.ranges());
  return result;
}

// Runs `network` at one level: the hash of every quantised tensor, and the logits' bytes.
std::pair<std::vector<std::pair<std::string, std::string>>, std::vector<float>> run(const test::Quantised& network,
                                                                                    kernels::Isa isa, bool keep_edges) {
  kernels::PlanOptions options;
  options.isa = isa;
  options.keep_edges = keep_edges;
  const auto program = kernels::plan(network.graph, options);
  ThreadPool pool(1);
  Context context(program, pool);
  Tensor output(DType::f32, test::with_batch(1, program->output_like.shape()));
  models::LayerHashes hashes(program->graph);
  const Context::Hook hook = [&](EdgeId edge, const View& view) { hashes.add(edge, view); };
  context.run(network.input, output, keep_edges ? &hook : nullptr);
  const auto logits = output.span<float>();
  return {hashes.list(), {logits.begin(), logits.end()}};
}

// Small inputs: every layer is there, with its channels and its borders, in a fiftieth of the time.
const std::vector<test::Quantised>& small_networks() {
  static const std::vector<test::Quantised> networks = [] {
    std::vector<test::Quantised> list;
    list.push_back(quantised(models::mobilenet_v2({.classes = 50, .side = 33})));
    list.push_back(quantised(models::resnet50({.blocks = {2, 1, 1, 1}, .classes = 50, .side = 33})));
    list.push_back(quantised(models::efficientnet_lite0({.classes = 50, .side = 34})));
    list.push_back(quantised(models::mobilenet_v2({.width = 0.35, .activation = Activation::relu, .side = 32}),
                             calib::Granularity::tensor));
    return list;
  }();
  return networks;
}

}  // namespace

TEST_CASE("make_divisible rounds channel counts as the original does") {
  CHECK(models::make_divisible(32, 8) == 32);
  CHECK(models::make_divisible(16 * 0.35, 8) == 8);   // never below the divisor
  CHECK(models::make_divisible(32 * 0.35, 8) == 16);  // 8 would be more than 10 % less than 11.2
  CHECK(models::make_divisible(24 * 0.5, 8) == 16);   // a half rounds up
  CHECK(models::make_divisible(96 * 1.4, 8) == 136);
  CHECK(models::make_divisible(1280 * 1.4, 8) == 1792);
}

TEST_CASE("MobileNetV2: torchvision's keys, 3,504,872 parameters, 52 convolutions") {
  const Graph graph = models::mobilenet_v2();
  CHECK(graph.parameter_count() == 3'504'872);
  const auto keys = state_dict(graph);
  CHECK(keys.size() == 314);
  CHECK(keys.at("features.0.0.weight") == Shape{32, 3, 3, 3});
  CHECK(keys.at("features.0.1.running_var") == Shape{32});
  CHECK(keys.at("features.1.conv.0.0.weight") == Shape{32, 1, 3, 3});  // t = 1: no expansion
  CHECK(keys.at("features.1.conv.1.weight") == Shape{16, 32, 1, 1});
  CHECK(keys.at("features.1.conv.2.bias") == Shape{16});
  CHECK(keys.at("features.2.conv.0.0.weight") == Shape{96, 16, 1, 1});
  CHECK(keys.at("features.2.conv.1.0.weight") == Shape{96, 1, 3, 3});
  CHECK(keys.at("features.17.conv.2.weight") == Shape{320, 960, 1, 1});
  CHECK(keys.at("features.17.conv.3.weight") == Shape{320});
  CHECK(keys.at("features.18.0.weight") == Shape{1280, 320, 1, 1});
  CHECK(keys.at("classifier.1.weight") == Shape{1000, 1280});
  CHECK(keys.at("classifier.1.bias") == Shape{1000});
  CHECK(std::ranges::none_of(keys, [](const auto& k) { return k.first.ends_with("0.bias"); }));
  CHECK(count(graph, Op::conv2d) == 52);
  CHECK(count(graph, Op::add) == 10);
  CHECK(count(graph, Op::relu6) == 35);
  CHECK(macs(graph) == 300'774'272);
}

TEST_CASE("MobileNetV2: the shape of every convolution") {
  // Of features 1 to 17: expansion, input and output channels, stride, output side.
  const int blocks[17][5] = {{1, 32, 16, 1, 112}, {6, 16, 24, 2, 56}, {6, 24, 24, 1, 56},  {6, 24, 32, 2, 28},
                             {6, 32, 32, 1, 28},  {6, 32, 32, 1, 28}, {6, 32, 64, 2, 14},  {6, 64, 64, 1, 14},
                             {6, 64, 64, 1, 14},  {6, 64, 64, 1, 14}, {6, 64, 96, 1, 14},  {6, 96, 96, 1, 14},
                             {6, 96, 96, 1, 14},  {6, 96, 160, 2, 7}, {6, 160, 160, 1, 7}, {6, 160, 160, 1, 7},
                             {6, 160, 320, 1, 7}};
  const auto list = convolutions(models::mobilenet_v2());
  REQUIRE(list.size() == 52);
  std::size_t at = 0;
  const auto check = [&](Shape weight, Shape out, int stride, int groups) {
    const Conv& conv = list[at++];
    CAPTURE(conv.name);
    CHECK(conv.weight == weight);
    CHECK(conv.out == out);
    CHECK(conv.stride == stride);
    CHECK(conv.groups == groups);
  };
  check({32, 3, 3, 3}, {32, 112, 112}, 2, 1);
  for (const auto& [t, in, out, stride, side] : blocks) {
    const int hidden = t * in;
    if (t != 1) check({hidden, in, 1, 1}, {hidden, side * stride, side * stride}, 1, 1);
    check({hidden, 1, 3, 3}, {hidden, side, side}, stride, hidden);
    check({out, hidden, 1, 1}, {out, side, side}, 1, 1);
  }
  check({1280, 320, 1, 1}, {1280, 7, 7}, 1, 1);
}

TEST_CASE("MobileNetV2: width, a table of one's own, and ReLU instead of ReLU6") {
  const Graph wide = models::mobilenet_v2({.width = 1.4});
  CHECK(state_dict(wide).at("classifier.1.weight") == Shape{1000, 1792});
  const Graph slim = models::mobilenet_v2({.width = 0.35});
  CHECK(state_dict(slim).at("features.0.0.weight") == Shape{16, 3, 3, 3});
  CHECK(state_dict(slim).at("classifier.1.weight") == Shape{1000, 1280});  // the last layer never shrinks
  const Graph relu = models::mobilenet_v2({.activation = Activation::relu});
  CHECK(count(relu, Op::relu6) == 0);
  CHECK(count(relu, Op::relu) == 35);
  CHECK(relu.name() != models::mobilenet_v2().name());  // the ranges of one are refused by the other
  CHECK(count(models::mobilenet_v2({.blocks = {{1, 8, 1, 1}, {2, 8, 3, 2}}, .classes = 10, .side = 32}), Op::add) == 2);
  CHECK_THROWS_WITH_AS(models::mobilenet_v2({.blocks = {}}), doctest::Contains("empty"), Error);
  CHECK_THROWS_WITH_AS(models::mobilenet_v2({.blocks = {{1, 16, 1}}}), doctest::Contains("(1, 16, 1)"), Error);
  CHECK_THROWS_WITH_AS(models::mobilenet_v2({.blocks = {{1, 16, 1, 0}}}), doctest::Contains("positive"), Error);
  CHECK_THROWS_AS(models::mobilenet_v2({.width = 0}), Error);
}

TEST_CASE("ResNet50 v1.5: torchvision's keys, 25,557,032 parameters, the stride in the 3x3 convolution") {
  const Graph graph = models::resnet50();
  CHECK(graph.parameter_count() == 25'557'032);
  const auto keys = state_dict(graph);
  CHECK(keys.size() == 320);
  CHECK(keys.at("conv1.weight") == Shape{64, 3, 7, 7});
  CHECK(keys.at("bn1.running_mean") == Shape{64});
  CHECK(keys.at("layer1.0.conv1.weight") == Shape{64, 64, 1, 1});
  CHECK(keys.at("layer1.0.downsample.0.weight") == Shape{256, 64, 1, 1});
  CHECK(keys.at("layer1.0.downsample.1.weight") == Shape{256});
  CHECK(keys.at("layer4.2.bn3.bias") == Shape{2048});
  CHECK(keys.at("fc.weight") == Shape{1000, 2048});
  CHECK_FALSE(keys.contains("layer1.1.downsample.0.weight"));
  CHECK(count(graph, Op::conv2d) == 53);
  CHECK(count(graph, Op::add) == 16);
  CHECK(macs(graph) == 4'089'184'256);

  const auto list = convolutions(graph);
  CHECK(conv_named(list, "conv1").out == Shape{64, 112, 112});
  const int blocks[] = {3, 4, 6, 3};
  for (int stage = 0; stage < 4; ++stage) {
    const std::int64_t width = 64 << stage, side = 56 >> stage, in_side = stage == 0 ? 56 : side * 2;
    for (int i = 0; i < blocks[stage]; ++i) {
      const std::string name = fmt::format("layer{}.{}.", stage + 1, i);
      CAPTURE(name);
      const int stride = stage > 0 && i == 0 ? 2 : 1;
      const std::int64_t in = i > 0 ? 4 * width : stage == 0 ? 64 : 2 * width;
      const std::int64_t before = i == 0 ? in_side : side;
      const Conv &one = conv_named(list, name + "conv1"), &two = conv_named(list, name + "conv2"),
                 &three = conv_named(list, name + "conv3");
      CHECK(one.weight == Shape{width, in, 1, 1});
      CHECK(one.out == Shape{width, before, before});
      CHECK(one.stride == 1);
      CHECK(two.weight == Shape{width, width, 3, 3});
      CHECK(two.out == Shape{width, side, side});
      CHECK(two.stride == stride);
      CHECK(three.weight == Shape{4 * width, width, 1, 1});
      if (i > 0) continue;
      const Conv& skip = conv_named(list, name + "downsample.0");
      CHECK(skip.out == Shape{4 * width, side, side});
      CHECK(skip.stride == stride);
    }
  }
}

TEST_CASE("EfficientNet-Lite0: keys of the published file, TensorFlow's padding") {
  const Graph graph = models::efficientnet_lite0();
  CHECK(graph.parameter_count() == 4'652'008);
  const auto keys = state_dict(graph);
  CHECK(keys.size() == 296);
  CHECK(keys.at("_conv_stem.weight") == Shape{32, 3, 3, 3});
  CHECK(keys.at("_blocks.0._depthwise_conv.weight") == Shape{32, 1, 3, 3});
  CHECK_FALSE(keys.contains("_blocks.0._expand_conv.weight"));
  CHECK(keys.at("_blocks.3._depthwise_conv.weight") == Shape{144, 1, 5, 5});
  CHECK(keys.at("_blocks.15._project_conv.weight") == Shape{320, 1152, 1, 1});
  CHECK(keys.at("_conv_head.weight") == Shape{1280, 320, 1, 1});
  CHECK(count(graph, Op::conv2d) == 49);
  CHECK(count(graph, Op::add) == 9);
  const int sides[] = {112, 56, 56, 28, 28, 14, 14, 14, 14, 14, 14, 7, 7, 7, 7, 7};
  const auto list = convolutions(graph);
  for (int i = 0; i < 16; ++i) {
    const Conv& conv = conv_named(list, fmt::format("_blocks.{}._depthwise_conv", i));
    CHECK(conv.out[1] == sides[i]);
    CHECK(conv.groups == conv.weight[0]);
  }
  const auto window_of = [&](const std::string& name) {
    for (const Node& n : graph.nodes()) {
      if (n.name == name) return n.window;
    }
    return Window{};
  };
  CHECK(window_of("_conv_stem").pad_top == 0);
  CHECK(window_of("_conv_stem").pad_bottom == 1);
  CHECK(window_of("_blocks.3._depthwise_conv").pad_left == 1);  // 5x5, stride 2
  CHECK(window_of("_blocks.3._depthwise_conv").pad_right == 2);
  CHECK(window_of("_blocks.4._depthwise_conv").pad_left == 2);  // 5x5, stride 1
}

TEST_CASE("INT8 from the first quantise to the last dequantise") {
  for (const test::Quantised& network : small_networks()) {
    const auto& nodes = network.graph.nodes;
    CAPTURE(network.graph.name);
    CHECK(nodes.front().op == Op::quantise);
    for (std::size_t i = 1; i < nodes.size(); ++i) {
      CAPTURE(nodes[i].name);
      const bool last_word = i + 1 == nodes.size() && nodes[i].op == Op::dequantise;
      CHECK((nodes[i].precision == Precision::int8 || last_word));
    }
  }
}

TEST_CASE("the same bytes from every instruction set") {
  for (const test::Quantised& network : small_networks()) {
    CAPTURE(network.graph.name);
    const auto expected = run(network, kernels::Isa::reference, true);
    CHECK(expected.first.size() + 3 >= network.graph.nodes.size());  // quantised edges: all but input and logits
    const float first = expected.second.front();
    CHECK(std::ranges::any_of(expected.second, [&](float logit) { return logit != first; }));
    for (const kernels::Isa isa : kernels::available_isas()) {
      if (isa == kernels::Isa::reference) continue;
      CAPTURE(kernels::name_of(isa));
      CHECK(run(network, isa, true) == expected);
      CHECK(run(network, isa, false).second == expected.second);
    }
  }
}

TEST_CASE("--activation is for the network that has the choice") {
  const models::LoadedModel relu =
      models::load_model("mobilenet_v2", {.precision = Precision::fp32, .build = {Activation::relu}});
  CHECK(relu.network.name == "mobilenet_v2_relu");
  CHECK(relu.seeded);
  CHECK_THROWS_WITH_AS(models::load_model("resnet50", {.build = {Activation::relu}}), doctest::Contains("mobilenet_v2"),
                       Error);
  CHECK_THROWS_WITH_AS(models::load_model("x.octet", {.build = {Activation::relu}}), doctest::Contains("--activation"),
                       Error);
}

TEST_CASE("class folders name the classes of a network that names none, where there is one for each") {
  const testing::TempFolder temp;
  const std::filesystem::path folder = temp.path();
  models::LoadedModel model;
  model.network.edges.push_back({.name = "scores", .shape = {3}});
  model.network.output = 0;
  for (const char* name : {"b", "a"}) std::filesystem::create_directory(folder / name);
  CHECK(models::class_names(model, folder).empty());
  std::filesystem::create_directory(folder / "c");
  CHECK(models::class_names(model, folder) == std::vector<std::string>{"a", "b", "c"});
  model.preprocess.label_offset = 1;  // class 0 is output 1
  CHECK(models::class_names(model, folder).empty());
  model.labels = {"x", "y"};
  CHECK(models::class_names(model, folder) == model.labels);
}

TEST_CASE("programs: names of classes, preprocessing, refusals") {
  using namespace octet::testing;
  const TempFolder temp;
  const RunOptions nothing{.environment = {{"OCTET_DATA", temp.path()}}};
  const std::string photo = temp / "photo.bmp";
  write_bmp(photo, 300, 256, scene(2));
  octet_refuses({"evaluate", "mobilenet_v2", "--data", temp.path()}, {"mobilenet_v2", "seeded", "--weights"}, nothing);
  octet_refuses({"calibrate", "efficientnet_lite0", "--data", temp.path(), "--out", temp / "r.json"}, {"seeded"},
                nothing);
  octet_refuses({"plan", "net.tflite"}, {"net.tflite", "TensorFlow Lite", ".onnx"}, nothing);
  octet_refuses({"plan", "efficientnet_lite0", "--activation", "relu"}, {"efficientnet_lite0", "mobilenet_v2"},
                nothing);
  CHECK(run_octet({"plan", "mobilenet_v2", "--activation", "gelu"}, nothing).status == 2);
  CHECK(run_octet({"evaluate", "catdog", "--data", ".", "--weights-granularity", "row"}, nothing).status == 2);

  write_text(temp / "few.txt", "one\ntwo\n");
  octet_refuses({"run", "mobilenet_v2", photo, "--names", temp / "few.txt"}, {"few.txt", "2 names", "1000 classes"},
                nothing);
  octet_refuses({"run", "mobilenet_v2", photo, "--names", temp / "none.txt"}, {"none.txt"}, nothing);
  std::string names = "background\n";  // which TensorFlow's lists have and the network has not
  for (int i = 0; i < 1000; ++i) names += fmt::format("class number {}\n", i);
  write_text(temp / "names.txt", names);
  const Result run = run_octet(
      {"run", "mobilenet_v2", photo, "--names", temp / "names.txt", "--top", "5", "--threads", "1", "--json"}, nothing);
  REQUIRE(run.status == 0);
  const json image = json::parse(run.out)["images"][0];
  CHECK(image["top"].size() == 5);
  CHECK(image["logits"].size() == 1000);
  CHECK(image["label"].get<std::string>().starts_with("class number "));

  const Result plan = run_octet({"plan", "mobilenet_v2", "--activation", "relu", "--json"}, nothing);
  REQUIRE(plan.status == 0);
  const json planned = json::parse(plan.out);  // (C++20: a temporary would die before the loop's first round)
  for (const json& layer : planned["layers"]) {
    CHECK(layer["tile"].get<std::string>().find("part") != std::string::npos);
  }
  const Result inspect = run_octet({"inspect", "efficientnet_lite0", "--precision", "fp32", "--json"}, nothing);
  REQUIRE(inspect.status == 0);
  const json how = json::parse(inspect.out)["preprocess"];
  CHECK(how["resize"] == 256);
  CHECK(how["crop"] == 224);
  CHECK(how["mean"] == json{127, 127, 127});
  CHECK(how["std"] == json{128, 128, 128});
}

TEST_CASE("--skip and --limit on a list of files") {
  const std::vector<std::filesystem::path> files{"a", "b", "c"};
  using Files = std::vector<std::filesystem::path>;
  CHECK(models::selected_files(files, 0, -1, "photos") == files);
  CHECK(models::selected_files(files, 1, 1, "photos") == Files{"b"});
  CHECK(models::selected_files(files, 2, 9, "photos") == Files{"c"});
  CHECK_THROWS_WITH_AS(models::selected_files(files, 3, -1, "photos in x"), "--skip 3 leaves none of the 3 photos in x",
                       Error);
  CHECK_THROWS_WITH_AS(models::selected_files(files, 0, 0, "frames"), "--limit 0 leaves none of the 3 frames", Error);
}
