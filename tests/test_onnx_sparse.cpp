// Sparse networks as ONNX: the domain octet.sparse out and in again, the two halves of a network, half precision, and
// files that contradict themselves.
#include <doctest/doctest.h>

#include <cmath>

#include "calib/calibrate.h"
#include "calib/quantise.h"
#include "kernels/plan/plan.h"
#include "models/centerpoint/seeded.h"
#include "runtime/io/octet_file.h"
#include "runtime/onnx/export.h"
#include "runtime/onnx/lower_quantised.h"
#include "runtime/onnx/range_metadata.h"
#include "runtime/onnx/sparse_operators.h"
#include "runtime/qgraph_parts.h"
#include "tests/onnx_models.h"
#include "tests/program.h"
#include "tests/same_network.h"
#include "tests/sparse_clouds.h"

using namespace octet;
using namespace octet::test;
using namespace octet::testing;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Down and up again, a residual sum, a skip connection, then two dense layers: every sparse operator, each way.
Graph network() {
  Graph g("network");
  const auto layer = [&](EdgeId conv) {
    const std::string name = g.edges()[static_cast<std::size_t>(conv)].name;
    return g.observe(g.relu(name + ".relu", g.batch_norm(name + ".bn", conv)), name + ".out");
  };
  EdgeId x = g.observe(g.sparse_input("points", 5, {6, 8, 10}), "points");
  const EdgeId fine = layer(g.sparse_conv("stem", x, 8, {.submanifold = true, .bias = false}));
  x = layer(g.sparse_conv("down", fine, 16, {.stride = {2, 2, 2}, .padding = {1, 1, 1}, .bias = false}));
  const EdgeId same = g.sparse_conv("same", x, 16, {.submanifold = true});
  x = g.observe(g.add("sum", {g.observe(same, "same.out"), x}), "sum.out");
  x = layer(g.inverse_sparse_conv("up", x, 8, "down"));
  x = g.observe(g.concat("skip", {x, fine}), "skip.out");
  x = layer(g.sparse_conv("flat", x, 12, {.kernel = {3, 1, 1}, .stride = {3, 1, 1}, .bias = false}));
  x = layer(g.conv2d("neck", g.to_dense("bev", x), 8, {.window = Window::square(3, 2, 1), .bias = false}));
  x = layer(g.conv_transpose2d("wide", x, 8, {.window = Window::square(2, 2), .bias = false}));
  g.set_output(g.conv2d("head", x, 3, {.window = Window::square(1)}));
  return g;
}

struct Made {
  Graph graph = network();
  QGraph integer;
  SparseTensor frame;
};

Made make(calib::Scheme scheme) {
  Made made;
  Random random(11);
  randomise_weights(made.graph, random, 0.0);
  made.frame = random_sparse(random, {6, 8, 10}, 2, 5, 0.1);
  calib::CalibrationOptions options;
  options.range.scheme = scheme, options.batch = 2;
  ThreadPool pool(1);
  calib::Calibrator calibrator(made.graph, options, pool);
  calibrator.observe(made.frame);
  made.integer = calib::quantise(made.graph, calibrator.ranges());
  return made;
}

onnx::Model reread(const onnx::Model& model) { return onnx::parse_model(onnx::model_bytes(model), ".", "made.onnx"); }

QGraph read(const onnx::Model& model) {
  std::vector<std::string> notes;
  const Graph graph = onnx::import_graph(reread(model), "network", &notes);
  if (!onnx::is_quantised(graph)) return calib::as_float(graph);
  QGraph lowered = onnx::lower_quantised(graph, notes, onnx::float_layers(model));
  for (const std::string& note : notes) FAIL_CHECK(note);
  return lowered;
}

Tensor outputs(const QGraph& network, const SparseTensor& frame) {
  const auto program = kernels::plan(network, {.batch = frame.batch});
  ThreadPool pool(1);
  Context context(program, pool);
  const Shape& s = program->output_like.shape();
  Tensor output(DType::f32, Shape{frame.batch, s[0], s[1], s[2]});
  context.run(frame, output);
  return output;
}

Tensor outputs(const QGraph& network, const Tensor& input) {
  const auto program = kernels::plan(network, {.batch = static_cast<int>(input.shape()[0])});
  ThreadPool pool(1);
  Context context(program, pool);
  const Shape& s = program->output_like.shape();
  Tensor output(DType::f32, Shape{input.shape()[0], s[0], s[1], s[2]});
  context.run(input, output);
  return output;
}

onnx::NodeProto& node_named(onnx::Model& model, const std::string& name) {
  const auto found = std::ranges::find(model.nodes, name, &onnx::NodeProto::name);
  REQUIRE(found != model.nodes.end());
  return *found;
}

onnx::Attribute& attribute(onnx::NodeProto& node, const std::string& name) {
  const auto found = std::ranges::find(node.attributes, name, &onnx::Attribute::name);
  REQUIRE(found != node.attributes.end());
  return *found;
}

}  // namespace

TEST_CASE("a sparse network survives export and import: the same nodes, geometry, steps, weights, and bytes") {
  if (!onnx::available()) return;
  for (const auto scheme : {calib::Scheme::symmetric, calib::Scheme::affine}) {
    const Made made = make(scheme);
    const Tensor before = outputs(made.integer, made.frame);
    for (const int opset : {13, 21}) {
      const QGraph again = read(onnx::export_model(made.integer, {.opset = opset, .dynamic_batch = opset == 21}));
      CHECK(difference(made.integer, again) == "");
      CHECK(equal(before, outputs(again, made.frame)));
    }
    const QGraph real = calib::as_float(made.graph);
    const QGraph again = read(onnx::export_model(real, {}));
    CHECK(equal(outputs(real, made.frame), outputs(again, made.frame)));
  }
}

TEST_CASE("what the file says: inputs, operators, geometry, rulebooks") {
  if (!onnx::available()) return;
  const Made made = make(calib::Scheme::symmetric);
  onnx::Model model = onnx::export_model(made.integer, {.opset = 13, .dynamic_batch = true});
  REQUIRE(model.inputs.size() == 3);
  CHECK(model.inputs[0].name == "input");
  CHECK(model.inputs[0].dims == std::vector<std::int64_t>{-1, 5});
  CHECK(model.inputs[1].name == "input_sites");
  CHECK(model.inputs[1].dims == std::vector<std::int64_t>{-1, 4});
  CHECK(model.inputs[2].name == "batch_size");
  CHECK(model.outputs[0].names[0] == "batch");
  CHECK(model.opsets.at(onnx::kSparseDomain) == onnx::kSparseVersion);
  // The wide input of 16 bits needs ONNX Runtime's operators before 21, and ONNX's own then.
  CHECK(model.opsets.contains("com.microsoft"));
  CHECK(!onnx::export_model(made.integer, {.opset = 21}).opsets.contains("com.microsoft"));
  const auto of_type = [&](const char* op) {
    return std::ranges::count_if(model.nodes, [&](const onnx::NodeProto& n) { return n.op_type == op; });
  };
  CHECK(of_type(onnx::kSparseConv) == 5);
  CHECK(of_type(onnx::kSparseSites) == 2);
  CHECK(of_type(onnx::kSparseToDense) == 1);
  const auto number = [&](const char* name) { return attribute(node_named(model, name), "rulebook").i; };
  CHECK(number("stem") != number("down"));
  CHECK(number("down") != number("up"));
  CHECK(attribute(node_named(model, "up"), "inverse_of").s == "down");
  CHECK(attribute(node_named(model, "down"), "output_grid").ints == std::vector<std::int64_t>{3, 4, 5});
}

TEST_CASE("the two halves of a network, one after the other, give the whole one's bytes; so do their files") {
  if (!onnx::available()) return;
  const Made made = make(calib::Scheme::symmetric);
  for (const QGraph& whole : {made.integer, calib::as_float(made.graph)}) {
    const Tensor wanted = outputs(whole, made.frame);
    const QGraph sparse = sparse_part(whole), dense = dense_part(whole);
    CHECK(equal(outputs(dense, outputs(sparse, made.frame)), wanted));
    const onnx::Model model = onnx::export_model(dense, {});
    CHECK(model.inputs.size() == 1);
    CHECK(!model.opsets.contains(onnx::kSparseDomain));
    CHECK(equal(outputs(read(model), outputs(read(onnx::export_model(sparse, {})), made.frame)), wanted));
    CHECK_THROWS_AS(sparse_part(dense), Error);
    CHECK_THROWS_AS(dense_part(sparse), Error);
  }
}

TEST_CASE("half precision: f16 weights between two casts, read back as the rounded weights") {
  if (!onnx::available()) return;
  const Made made = make(calib::Scheme::symmetric);
  const QGraph real = calib::as_float(made.graph);
  onnx::Model model = onnx::export_model(real, {.half = true});
  CHECK(model.initializers.at("stem.weight").dtype() == DType::f16);
  CHECK(model.nodes.front().op_type == "Cast");
  CHECK(model.nodes.back().outputs[0] == "output");
  std::vector<std::string> notes;
  const QGraph again = calib::as_float(onnx::import_graph(reread(model), "network", &notes));
  REQUIRE(notes.size() == 1);
  CHECK(has(notes[0], "half precision"));
  QGraph rounded = real;
  const auto round = [](Tensor& values) {
    values = values.clone();
    for (float& v : values.span<float>()) v = half_to_float(float_to_half(v));
  };
  for (QNode& node : rounded.nodes) {
    if (!node.weight.empty()) round(node.weight);
    if (!node.bias.empty()) round(node.bias);
  }
  CHECK(equal(outputs(rounded, made.frame), outputs(again, made.frame)));
  CHECK_THROWS_AS(onnx::export_model(made.integer, {.half = true}), Error);
  for (QNode& node : rounded.nodes) {
    if (node.name == "down") node.weight.span<float>()[0] = 1e5f;
  }
  CHECK_THROWS_AS(onnx::export_model(rounded, {.half = true}), Error);
}

TEST_CASE("sparse files that contradict themselves") {
  if (!onnx::available()) return;
  const onnx::Model model = onnx::export_model(make(calib::Scheme::symmetric).integer, {});
  const auto error = [&](auto change) {
    onnx::Model changed = model;
    change(changed);
    try {
      std::vector<std::string> notes;
      onnx::import_graph(reread(changed), "network", &notes);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("(no error)");
  };
  const auto with = [&](const char* node, const char* name, auto value) {
    return error([&](onnx::Model& m) {
      onnx::Attribute& a = attribute(node_named(m, node), name);
      if constexpr (std::is_same_v<decltype(value), int>) a.i = value;
      if constexpr (std::is_same_v<decltype(value), std::vector<std::int64_t>>) a.ints = value;
      if constexpr (std::is_same_v<decltype(value), std::string>) a.s = value;
    });
  };
  using Longs = std::vector<std::int64_t>;
  CHECK(error([](onnx::Model&) {}) == "(no error)");
  CHECK(has(with("down", "input_grid", Longs{6, 8, 9}), "input_grid is not 6x8x10"));
  CHECK(has(with("down", "output_grid", Longs{3, 4, 4}), "output_grid is not 3x4x5"));
  CHECK(has(with("down", "strides", Longs{2, 2}), "strides has 2 values"));
  CHECK(has(with("down", "strides", Longs{2, 2, 1}), "with its own geometry"));
  CHECK(has(with("down_sites", "strides", Longs{2, 2, 0}), "stride"));
  CHECK(has(with("down_sites", "kernel_shape", Longs{1 << 20, 3, 3}), "0 to 32767"));
  CHECK(has(with("down_sites", "input_grid", Longs{1 << 20, 1 << 20, 1 << 20}), "cells"));
  CHECK(has(with("stem", "weight_layout", std::string("ZYXIO")), "OZYXI is supported"));
  CHECK(has(with("same", "rulebook", 0), "another convolution of rulebook 0"));
  CHECK(has(with("same", "submanifold", 0), "with its own geometry"));
  CHECK(has(with("up", "inverse_of", std::string("nobody")), "nobody"));
  CHECK(
      has(error([](onnx::Model& m) { node_named(m, "same").inputs[1] = "input_sites"; }), "input_grid is not 6x8x10"));
  CHECK(has(error([](onnx::Model& m) { node_named(m, "same").inputs[0] = "points_dequantized"; }), "do not belong"));
  CHECK(has(error([](onnx::Model& m) { node_named(m, "same").inputs[1] = "points_dequantized"; }), "not coordinates"));
  CHECK(has(error([](onnx::Model& m) { node_named(m, "same").op_type = "SparsePool"; }), "SparseToDense"));
  CHECK(has(error([](onnx::Model& m) { m.inputs.pop_back(); }), "without coordinates"));
  CHECK(has(error([](onnx::Model& m) { m.inputs.push_back(m.inputs[0]); }), "none of them"));
  CHECK(has(error([](onnx::Model& m) { m.metadata.erase("octet.ranges"); }), "16 bits are for the input"));
}

TEST_CASE("CenterPoint, seeded: the file is the network, and says what grid and classes it has") {
  if (!onnx::available()) return;
  models::CenterPointConfig config = models::centerpoint_preset("0.1");
  config.range = {-3.2, -3.2, -5, 3.2, 3.2, 3};
  Graph graph = models::centerpoint(config);
  models::seed_centerpoint(graph, config, 1);
  QGraph network = calib::quantise(graph, models::seeded_centerpoint_ranges(graph, config, 1));
  network.metadata["points"] = models::to_json(config);
  const SparseTensor frame = models::made_up_frame(config.grid(), config, 2);
  // As a user meets it: the program, its .onnx, and what of it can be asked for.
  const TempFolder temp;
  if (kSanitised) {  // minutes, all of it; half of a network taken for one of photos once read beyond a table
    save_octet_file(sparse_part(network), temp / "sparse.octet");
    write_text(temp / "a.f32x5.bin", std::string(20, '\0'));
    octet_refuses({"run", temp / "sparse.octet", temp / "a.f32x5.bin"}, {"takes an input of 5x41x64x64"});
    return;
  }
  const Tensor wanted = outputs(network, frame);
  const onnx::Model model = onnx::export_model(network, {});
  CHECK(equal(wanted, outputs(read(model), frame)));
  CHECK(
      equal(wanted, outputs(read(onnx::export_model(dense_part(network), {})), outputs(sparse_part(network), frame))));
  CHECK(model.initializers.contains("neck.deblocks.1.0.weight_quantized"));

  save_octet_file(network, temp / "net.octet");
  std::string points;
  for (int i = 0; i < 2000; ++i) {
    const float angle = 0.37f * static_cast<float>(i),
                far = 0.2f + 2.8f * std::fmod(0.618f * static_cast<float>(i), 1.0f);
    const float point[] = {far * std::cos(angle), far * std::sin(angle), -1.5f + 0.01f * static_cast<float>(i % 100), 9,
                           0};
    points.append(reinterpret_cast<const char*>(point), sizeof point);
  }
  write_text(temp / "a.f32x5.bin", points);
  const auto layers_of = [&](const std::string& file) {
    const json run =
        octet_json({"run", temp / file, temp / "a.f32x5.bin", "--threads", "1", "--quiet", "--hash-layers"});
    CHECK(run["voxels"] > 100);
    std::vector<std::string> hashes;  // (the input's name differs)
    for (const json& layer : run["layers"]) hashes.push_back(layer["hash"]);
    return hashes;
  };
  const auto exported = [&](const std::string& file, Arguments more) {
    Arguments all{"export", temp / "net.octet", "--out", temp / file, "--quiet"};
    all.insert(all.end(), more.begin(), more.end());
    return octet_json(all);
  };
  CHECK(exported("net.onnx", {})["precision"] == "int8");
  const std::vector<std::string> wanted_layers = layers_of("net.octet");
  CHECK(wanted_layers.size() > 60);
  CHECK(layers_of("net.onnx") == wanted_layers);
  exported("sparse.onnx", {"--part", "sparse"}), exported("dense.onnx", {"--part", "dense"});
  const auto layers = [&](const std::string& file) {
    return octet_json({"plan", temp / file, "--quiet"})["layers"].size();
  };
  CHECK(layers("sparse.onnx") + layers("dense.onnx") == layers("net.onnx") + 2);  // a dequantise and a quantise more
  octet_refuses({"run", temp / "sparse.onnx", temp / "a.f32x5.bin"}, {"sparse: takes an input of 5x41x64x64"});
}
