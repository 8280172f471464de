// CenterPoint's definition, configuration and checkpoints, and whole small networks from voxels to boxes.
#include <doctest/doctest.h>

#include <map>
#include <set>
#include <tuple>

#include "models/centerpoint/boxes.h"
#include "models/centerpoint/detector.h"
#include "models/centerpoint/peak_heads.h"
#include "models/centerpoint/seeded.h"
#include "models/loaded_model.h"
#include "tests/point_frames.h"
#include "tests/program_oracle.h"
#include "tests/random_graph.h"

using namespace octet;
using namespace octet::models;
using namespace octet::test;
using octet::testing::checkpoint_of;
using octet::testing::kSanitised;

namespace {

// The encoder's whole height, 64 x 32 cells: maps of 8 x 4.
const char* const kSmall = R"({"range": [-3.2, -1.6, -5, 3.2, 1.6, 3], "voxel": [0.1, 0.1, 0.2]})";

bool equal_parameters(const Graph& a, const Graph& b) {
  for (std::size_t i = 0; i < a.nodes().size(); ++i) {
    for (std::size_t k = 0; k < a.nodes()[i].parameters.size(); ++k) {
      if (!std::ranges::equal(a.nodes()[i].parameters[k].value.span<float>(),
                              b.nodes()[i].parameters[k].value.span<float>())) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

TEST_CASE("the official network: 557 keys, 8,941,590 parameters, 70 maps of 180 x 180 or 128 x 128") {
  for (const char* preset : {"0.075", "0.1"}) {
    const CenterPointConfig config = centerpoint_preset(preset);
    const Graph graph = centerpoint(config);
    std::size_t keys = 0;
    for (const Node& node : graph.nodes()) keys += node.parameters.size() + (node.op == Op::batch_norm ? 1 : 0);
    CHECK(keys == 557);
    CHECK(graph.parameter_count() == 8'941'590);
    const bool fine = config.voxel[0] == 0.075;
    const std::int64_t side = fine ? 180 : 128;
    CHECK(config.grid() == SparseGrid{41, fine ? 1440 : 1024, fine ? 1440 : 1024});
    CHECK(graph.edges()[static_cast<std::size_t>(graph.output_edge())].shape == Shape{70, side, side});
    CHECK(config.map_width() == side);
    const auto convs = std::ranges::count(graph.nodes(), Op::sparse_conv, &Node::op);
    CHECK(convs == 21);
    std::map<std::string, Shape> shapes;
    for (const Edge& e : graph.edges()) shapes[e.name] = e.shape;
    CHECK(shapes["backbone.conv4.0"] == Shape{128, 5, side, side});
    CHECK(shapes["backbone.extra_conv.0"] == Shape{128, 2, side, side});
    CHECK(shapes["backbone.dense"] == Shape{256, side, side});
    CHECK(shapes["neck.blocks.1.1"] == Shape{256, side / 2, side / 2});
    CHECK(shapes["neck.concat"] == Shape{512, side, side});
  }
  const HeadMaps maps = head_maps(CenterPointConfig{});
  CHECK(maps.channels == 70);
  CHECK(maps.tasks[1].reg == 11);
  CHECK(maps.tasks[5].hm == 68);
  CHECK(maps.tasks[5].first_label == 8);
  CHECK(CenterPointConfig{}.labels()[9] == "traffic_cone");
}

TEST_CASE("checkpoints of both spconv layouts load, with or without 'module.'; what does not fit is named") {
  const CenterPointConfig config = centerpoint_config(kSmall, "test");
  Graph graph = centerpoint(config);
  graph.seed_weights(4);
  CHECK(checkpoint_of(graph, false).size() == 557);
  for (const bool spconv1 : {false, true}) {
    for (const char* prefix : {"", "module."}) {
      Graph loaded = centerpoint(config);
      CHECK(loaded.load(in_graph_layout(checkpoint_of(graph, spconv1, prefix), loaded)).empty());
      CHECK(equal_parameters(graph, loaded));
    }
  }
  const auto refuses = [&](const std::string& key, const std::optional<Tensor>& instead, const char* words) {
    StateDict changed;
    for (const auto& [name, tensor] : checkpoint_of(graph, true)) {
      if (name != key) changed.insert(name, tensor);
      if (name == key && instead) changed.insert(name, *instead);
    }
    Graph loaded = centerpoint(config);
    CHECK_THROWS_WITH_AS(loaded.load(in_graph_layout(changed, loaded)), doctest::Contains(words), Error);
  };
  refuses("neck.deblocks.1.0.weight", std::nullopt, "'neck.deblocks.1.0.weight' is missing");
  refuses("backbone.conv2.0.weight", Tensor(DType::f32, Shape{3, 3, 3, 16, 31}),
          "'backbone.conv2.0.weight' has the shape 3x3x3x16x31, centerpoint expects 32x3x3x3x16");
  refuses("bbox_head.tasks.4.hm.3.bias", Tensor(DType::f32, Shape{1}), "'bbox_head.tasks.4.hm.3.bias'");
}

TEST_CASE("configurations: presets, changes to them, and errors that name the field") {
  const CenterPointConfig changed =
      centerpoint_config(R"({"preset": "0.1", "score_threshold": 0.3, "nms": "circle", "max_voxels": 7})", "c.json");
  CHECK(changed.range[0] == -51.2);
  CHECK(changed.score_threshold == 0.3f);
  CHECK(changed.nms == CenterPointConfig::Nms::circle);
  CHECK(changed.max_voxels == 7);
  CHECK(to_json(centerpoint_config(to_json(changed), "again")) == to_json(changed));
  CHECK(centerpoint_config("{}", "none").grid() == CenterPointConfig{}.grid());
  const auto refuses = [](const char* text, const char* words) {
    CHECK_THROWS_WITH_AS(centerpoint_config(text, "c.json"), doctest::Contains(words), Error);
  };
  refuses("{", "c.json: not a valid configuration");
  refuses("[1]", "an object such as");
  refuses(R"({"voxels": 1})", "unknown key 'voxels'");
  refuses(R"({"preset": "0.2"})", "preset: '0.2'");
  refuses(R"({"preset": 1})", "preset: a text");
  refuses(R"({"voxel": [0.1, 0.1]})", "voxel: a list was expected");
  refuses(R"({"voxel": [0.1, 0, 0.2]})", "voxel: a side of 0 m");
  refuses(R"({"range": [-54, -54, -5, 54.01, 54, 3]})", "not a whole number");
  refuses(R"({"range": [-54, -54, -5, 54.6, 54, 3]})", "multiples of 16");
  refuses(R"({"range": [54, -54, -5, -54, 54, 3]})", "range: 54 to -54 along x");
  refuses(R"({"max_points": 0})", "max_points");
  refuses(R"({"max_points": 2.5})", "max_points: a whole number");
  refuses(R"({"max_voxels": 1e30})", "max_voxels");
  refuses(R"({"score_threshold": 1})", "score_threshold");
  refuses(R"({"score_threshold": "high"})", "score_threshold: a number");
  refuses(R"({"tasks": []})", "tasks");
  refuses(R"({"tasks": [["car"], ["car"]]})", "'car'");
  refuses(R"({"tasks": ["car"]})", "not a valid configuration");
  refuses(R"({"nms": "soft"})", "rotated or circle");
  refuses(R"({"nms": "circle", "tasks": [["car"]]})", "squared_radius: 6 of them for 1 tasks");
  refuses(R"({"center_range": [0, 0, 0, 0, 1, 1]})", "center_range");
}

TEST_CASE("fuzzed configurations are refused in one line or make a network") {
  Random random(3);
  const std::string good = to_json(CenterPointConfig{});
  int made = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string text = good;
    for (int k = random.between(1, 3); k > 0; --k) {
      const auto at = static_cast<std::size_t>(random.between(0, static_cast<int>(text.size()) - 1));
      const char* const pieces = "0123456789.-e,[]{}\":x";
      if (random.chance(0.3)) {
        text.erase(at, static_cast<std::size_t>(random.between(1, 5)));
      } else {
        text[at] = pieces[random.between(0, 20)];
      }
    }
    try {
      centerpoint_config(text, "c.json").validate();
      ++made;
    } catch (const Error& e) {
      CHECK(std::string(e.what()).starts_with("c.json: "));
      CHECK(std::string(e.what()).find('\n') == std::string::npos);
    }
  }
  CHECK(made > 10);
}

TEST_CASE("seeded networks: a small frame in INT8, the same bytes everywhere, boxes of every task") {
  LoadOptions options;
  options.build.points = centerpoint_config(
      R"({"range": [-6.4, -3.2, -5, 6.4, 3.2, 3], "voxel": [0.1, 0.1, 0.2], "score_threshold": 0.05})", "test");
  const LoadedModel model = load_model("centerpoint", options);
  REQUIRE(model.precision == Precision::int8);
  CHECK(model.seeded);
  int floats = 0;
  for (const QNode& n : model.network.nodes) floats += n.precision == Precision::fp32 && has_weights(n.op);
  CHECK(floats == 0);  // every convolution, the heads' last ones too
  const CenterPointConfig& config = *model.points;
  const SparseTensor frame = made_up_frame(config.grid(), config, 8);
  std::vector<float> first;
  for (const kernels::Isa isa : kernels::available_isas()) {
    if (isa == kernels::Isa::reference || isa == kernels::Isa::portable) continue;  // too slow for 0.5 GMAC here
    ThreadPool pool(isa == kernels::chosen_isa() ? 3 : 1);
    const auto program = kernels::plan(model.network, {.isa = isa});
    Context context(program, pool);
    Tensor output(DType::f32, Shape{1, 70, config.map_height(), config.map_width()});
    context.run(frame, output);
    const auto values = output.span<float>();
    if (first.empty()) first.assign(values.begin(), values.end());
    CHECK_MESSAGE(std::ranges::equal(first, values), kernels::name_of(isa));
  }
  DecodeCounts counts;
  const std::vector<Box> boxes = boxes_of(first, config, counts);
  std::map<int, int> of_task;
  const HeadMaps heads = head_maps(config);
  for (const Box& b : boxes) {
    for (std::size_t t = 0; t < heads.tasks.size(); ++t) {
      const int label = b.label - heads.tasks[t].first_label;
      if (label >= 0 && label < heads.tasks[t].classes) ++of_task[static_cast<int>(t)];
    }
  }
  CHECK(boxes.size() >= 1);
  MESSAGE(boxes.size(), " boxes of ", counts.candidates, " candidates");
}

TEST_CASE("heads at the peaks alone: the boxes of the whole maps, on every instruction set, for any threshold") {
  for (const auto& [scheme, threshold, nms] : {std::tuple{calib::Scheme::symmetric, 0.05, "rotated"},
                                               {calib::Scheme::symmetric, 0.0, "circle"},
                                               {calib::Scheme::affine, 0.1, "rotated"},
                                               {calib::Scheme::affine, 0.99999, "rotated"}}) {
    if (kSanitised && threshold != 0.1) continue;  // a minute each
    LoadOptions options;
    options.build.points = centerpoint_config(
        fmt::format(R"({{"range": [-6.4, -3.2, -5, 6.4, 3.2, 3], "voxel": [0.1, 0.1, 0.2], "nms": "{}"}})", nms),
        "test");
    options.precision = Precision::fp32;
    CenterPointConfig config = *options.build.points;
    LoadedModel model = load_model("centerpoint", options);
    calib::Ranges ranges = seeded_centerpoint_ranges(*model.graph, config, options.seed);
    ranges.scheme = scheme;
    for (calib::EdgeRange& e : ranges.edges) e.quant = calib::quant_params(scheme, false, e.amax, e.min, e.max);
    const QGraph network = calib::quantise(*model.graph, ranges);
    config.score_threshold = static_cast<float>(threshold);  // only now: seeded heads are made for the usual one
    REQUIRE(PeakHeads::refuse(network, config).empty());
    const SparseTensor frame = made_up_frame(config.grid(), config, 8);
    const auto run = [&](const QGraph& graph, kernels::Isa isa, ThreadPool& pool, const Context::Hook* hook) {
      const auto program = kernels::plan(graph, {.isa = isa});
      Context context(program, pool);
      const Shape& out = program->output_like.shape();
      Tensor maps(DType::f32, Shape{1, out[0], out[1], out[2]});
      context.run(frame, maps, hook);
      return maps;
    };
    ThreadPool three(3);
    DecodeCounts wanted_counts;
    const Tensor whole = run(network, kernels::chosen_isa(), three, nullptr);
    const std::vector<Box> wanted = boxes_of(whole.span<float>(), config, wanted_counts);
    for (const kernels::Isa isa : kernels::available_isas()) {
      if (isa == kernels::Isa::reference || isa == kernels::Isa::portable) continue;  // too slow for the network
      if (kSanitised && isa != kernels::chosen_isa()) continue;
      CAPTURE(kernels::name_of(isa));
      ThreadPool pool(isa == kernels::chosen_isa() ? 3 : 1);
      PeakHeads peaks(network, config, isa);
      const Context::Hook hook = [&](EdgeId edge, const View& view) {
        if (edge == peaks.shared()) peaks.keep(view);
      };
      const Tensor heat = run(peaks.network(), isa, pool, &hook);
      DecodeCounts counts;
      CHECK(peaks.boxes(heat.span<float>(), pool, counts) == wanted);
      CHECK(counts.candidates == wanted_counts.candidates);
      CHECK(counts.out_of_range == wanted_counts.out_of_range);
      CHECK(counts.dropped_candidates == wanted_counts.dropped_candidates);
      CHECK(counts.dropped_boxes == wanted_counts.dropped_boxes);
      if (isa != kernels::chosen_isa()) continue;
      DecodeCounts again;
      CHECK(peaks.boxes(heat.span<float>(), pool, again) == wanted);  // nothing is left over from the frame before
    }
    MESSAGE(wanted.size(), " boxes of ", wanted_counts.candidates, " candidates");
    CHECK((wanted.size() > 0) == (threshold < 0.5));
    if (threshold == 0.0) CHECK(wanted_counts.candidates == 6 * 16 * 8);  // every cell
  }
}

TEST_CASE("heads are computed everywhere where they are not INT8, and for those who look at layers") {
  if (kSanitised) return;  // a minute, of nothing but what other cases run
  LoadOptions options;
  options.build.points = centerpoint_config(kSmall, "test");
  options.precision = Precision::fp32;
  const LoadedModel real = load_model("centerpoint", options);
  CHECK(PeakHeads::refuse(real.network, *real.points).find("not INT8") != std::string::npos);
  CenterPointConfig more = *real.points;
  more.tasks.push_back({"tram"});
  CHECK(PeakHeads::refuse(real.network, more).find("bbox_head.tasks.6.reg") != std::string::npos);
  options.precision = Precision::int8;
  const LoadedModel integer = load_model("centerpoint", options);
  ThreadPool pool(1);
  CHECK(Detector(real, pool).program().output_like.shape()[0] == 70);
  CHECK(Detector(integer, pool, true).program().output_like.shape()[0] == 70);
  CHECK(Detector(integer, pool).program().output_like.shape()[0] == 10);
}

// The encoder's layers are held against a dense oracle by test_sparse_network.cpp; this is the rest.
TEST_CASE("neck and heads, layer by layer, in INT8 and FP32, against the interpreter") {
  LoadOptions options;
  options.build.points = centerpoint_config(
      R"({"range": [-1.6, -1.6, -5, 1.6, 1.6, 3], "voxel": [0.1, 0.1, 0.2], "tasks": [["a"], ["b", "c"]]})", "test");
  const CenterPointConfig& config = *options.build.points;
  const SparseTensor frame = made_up_frame(config.grid(), config, 2);
  REQUIRE(frame.rows() > 100);
  ThreadPool pool(1);
  for (const Precision precision : {Precision::int8, Precision::fp32}) {
    options.precision = precision;
    const LoadedModel model = load_model("centerpoint", options);
    const QGraph& q = model.network;
    kernels::PlanOptions plan;
    plan.keep_edges = true;
    const auto program = kernels::plan(q, plan);
    Context context(program, pool);
    Tensor output(DType::f32, Shape{1, head_maps(config).channels, config.map_height(), config.map_width()});
    std::map<EdgeId, Values> seen;
    const Context::Hook hook = [&](EdgeId edge, const View& view) {
      if (q.edges[static_cast<std::size_t>(edge)].shape.rank() == 3) seen[edge] = capture(view);
    };
    context.run(frame, output, &hook);
    const Interpreter interpreter(q, 1);
    int layers = 0;
    for (const QNode& node : q.nodes) {
      if (!std::ranges::all_of(node.inputs, [&](EdgeId e) { return seen.contains(e); })) continue;
      std::vector<const Values*> inputs;
      for (const EdgeId e : node.inputs) inputs.push_back(&seen.at(e));
      const std::string found = difference(interpreter.compute(node, inputs), seen.at(node.output));
      CHECK_MESSAGE(found.empty(), name_of(precision) << " " << node.name << ": " << found);
      ++layers;
    }
    CHECK(layers >= 12 + 2 + 1 + 1 + 24 + 1);
    CHECK(difference(seen.at(q.output), reals_of(output)).empty());
  }
}
