// Which layers are quantised, and which of them cost most: switches, blocks, a planted bad layer, auto-ignore.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>

#include "calib/calibrate.h"
#include "calib/sensitivity.h"
#include "calib/switches.h"
#include "models/measure.h"
#include "tests/program_graphs.h"

using namespace octet;
using namespace octet::calib;
using namespace octet::test;

namespace {

// Two blocks of two convolutions each around a stem and a head, every edge observed.
Graph network() {
  Graph g("blocks");
  const auto layer = [&](const std::string& name, EdgeId x, int out, int kernel) {
    return g.observe(g.relu(name + "_relu", g.conv2d(name, x, out, conv(kernel, 1, kernel / 2))), name + "_out");
  };
  EdgeId x = g.observe(g.input("image", Shape{3, 8, 8}), "image");
  x = layer("stem", x, 8, 3);
  x = layer("stage1.a", x, 8, 3);
  x = layer("stage1.b", x, 8, 1);
  x = layer("stage10.a", x, 8, 3);
  x = layer("stage10.b", x, 8, 3);
  x = g.conv2d("head", x, 4, conv(8));
  g.set_output(g.observe(x, "logits"));
  Random random(31);
  randomise_weights(g, random, 0.0);
  return g;
}

// One weight of every channel of a layer 300 times the others: these lose all their bits.
void spoil(Graph& g, const std::string& name) {
  for (std::size_t i = 0; i < g.nodes().size(); ++i) {
    if (g.nodes()[i].name != name) continue;
    for (Parameter& p : g.node(static_cast<int>(i)).parameters) {
      if (p.key != "weight") continue;
      const auto values = p.value.span<float>();
      const auto per_channel = values.size() / static_cast<std::size_t>(p.shape[0]);
      for (std::size_t c = 0; c < values.size(); c += per_channel) {
        for (std::size_t k = 1; k < per_channel; ++k) values[c + k] = std::fabs(values[c + k]) + 0.2f;
        values[c] = -300.0f;
      }
    }
  }
}

struct Bench {
  Graph graph = network();
  Tensor input;
  Ranges ranges;
  std::vector<float> reference;
  ThreadPool pool{1};

  explicit Bench(const std::string& bad = "") {
    if (!bad.empty()) spoil(graph, bad);
    Random random(5);
    input = random.tensor(with_batch(16, Shape{3, 8, 8}), 1.0);
    CalibrationOptions options;
    options.batch = 16;
    Calibrator calibrator(graph, options, pool);
    calibrator.observe(input);
    ranges = calibrator.ranges();
    reference = outputs(as_float(graph));
  }
  std::vector<float> outputs(const QGraph& network) {
    kernels::PlanOptions options;
    options.batch = 16;
    Context context(kernels::plan(network, options), pool);
    Tensor out(DType::f32, Shape{16, 4, 1, 1});
    context.run(input, out);
    return {out.span<float>().begin(), out.span<float>().end()};
  }
  Measure measure() {
    return [this](const QGraph& network) {
      const std::vector<float> out = outputs(network);
      Measurement m;
      m.sqnr_db = models::sqnr_db(reference, out), m.cosine = models::cosine(reference, out);
      m.agreement = std::isfinite(m.sqnr_db) ? 100 - 100 * std::pow(10, -m.sqnr_db / 20) : 100;
      return m;
    };
  }
};

std::vector<std::string> names_of(const std::vector<LayerSensitivity>& layers) {
  std::vector<std::string> names;
  for (const LayerSensitivity& l : layers) names.push_back(l.name);
  return names;
}

Precision precision_of(const QGraph& g, const std::string& name) {
  return std::ranges::find(g.nodes, name, &QNode::name)->precision;
}

}  // namespace

TEST_CASE("expressions for one layer and for a block catch neither 'stage10' with 'stage1' nor by their dots") {
  Graph g = network();
  QuantiserSwitches switches(g);
  CHECK(switches.disable(below("stage1")) == std::vector<std::string>{"stage1.a", "stage1.b"});
  CHECK(switches.enabled("stage10.a"));
  CHECK(blocks_of({"stem", "a.b.c", "a.b.d", "a.e", "f.g", "h.i.j", "h.i.k"}) ==
        std::vector<std::string>{"a", "a.b", "h"});
  CHECK(blocks_of({"stem", "fc"}).empty());
}

TEST_CASE("a scope puts back what was there, not the default") {
  Graph g = network();
  QuantiserSwitches switches(g);
  switches.disable("stage1\\.a");
  {
    const auto all_on = switches.scoped(".*", true);
    CHECK(switches.enabled("stage1.a"));
    const auto off = switches.scoped("stage1\\.", false);
    CHECK(!switches.enabled("stage1.a"));
    CHECK(!switches.enabled("stage1.b"));
  }
  CHECK(!switches.enabled("stage1.a"));  // an enabling scope that ends leaves it off
  CHECK(switches.enabled("stage1.b"));
  CHECK_THROWS_WITH_AS(switches.disable("stagf"), doctest::Contains("close names are"), Error);
  CHECK_THROWS_WITH_AS((void)switches.enabled("stage1.z"), doctest::Contains("stage1.a"), Error);
  Bench bench;
  const QGraph q = quantise(bench.graph, bench.ranges, switches.options());
  CHECK(precision_of(q, "stage1.a") == Precision::fp32);
  CHECK(precision_of(q, "stage1.b") == Precision::int8);
  CHECK(precision_of(q, "stage10.a") == Precision::int8);
}

TEST_CASE("a layer whose weights quantise badly ranks first in both modes") {
  for (const std::string bad : {"stage1.a", "stage10.b"}) {
    Bench bench(bad);
    for (const SensitivityMode mode : {SensitivityMode::leave_out, SensitivityMode::alone}) {
      CAPTURE(bad);
      CAPTURE(name_of(mode));
      std::size_t steps = 0;
      const Sensitivity s = analyse(bench.graph, bench.ranges, bench.measure(), {.mode = mode, .blocks = false},
                                    [&](const Sensitivity& so_far, std::size_t total) {
                                      CHECK(so_far.layers.size() == ++steps);
                                      CHECK(total == 6);
                                      CHECK(so_far.complete == (steps == total));
                                    });
      CHECK(steps == 6);
      CHECK(s.ranked().front().name == bad);
      CHECK(s.fp32.sqnr_db == std::numeric_limits<double>::infinity());
    }
  }
}

TEST_CASE("blocks stand before their layers, and cost what their layers cost") {
  Bench bench("stage10.a");
  const Sensitivity s = analyse(bench.graph, bench.ranges, bench.measure(), {});
  CHECK(names_of(s.layers) == std::vector<std::string>{"stem", "stage1", "stage1.a", "stage1.b", "stage10", "stage10.a",
                                                       "stage10.b", "head"});
  CHECK(s.layers[1].block);
  const auto at = [&](std::size_t i) { return s.layers[i].measured.sqnr_db; };
  CHECK(at(4) >= at(5) - 0.5);  // the block with the bad layer in float is about as good as the layer in float
  CHECK(at(4) > at(1) + 3);
}

TEST_CASE("an interrupted analysis goes on, and ends like an unbroken one") {
  Bench bench("stage1.b");
  const Sensitivity whole = analyse(bench.graph, bench.ranges, bench.measure(), {});
  Sensitivity part = whole;
  part.layers.resize(3), part.complete = false;
  part = sensitivity_from_json(to_json(part), "part");
  int measured = 0;
  const Measure count = [&](const QGraph& network) {
    ++measured;
    return bench.measure()(network);
  };
  const Sensitivity resumed = analyse(bench.graph, bench.ranges, count, {.resume = part});
  CHECK(measured == static_cast<int>(whole.layers.size()) - 3);
  CHECK(to_json(resumed) == to_json(whole));
  CHECK_THROWS_WITH_AS(sensitivity_from_json("{}", "x.json"), doctest::Contains("x.json"), Error);
  CHECK_THROWS_AS(sensitivity_from_json("[1", "x.json"), Error);
}

TEST_CASE("auto-ignore leaves the bad layer in float and no other") {
  Bench bench("stage10.a");
  const Sensitivity s = analyse(bench.graph, bench.ranges, bench.measure(), {});
  const double loss_all = s.fp32.score() - s.int8.score();
  const double loss_best = s.fp32.score() - s.ranked().front().measured.score();
  REQUIRE(loss_best < loss_all / 2);
  CHECK(choose_ignored(bench.graph, bench.ranges, s, bench.measure(), loss_all + 1).layers.empty());
  const AutoIgnore one = choose_ignored(bench.graph, bench.ranges, s, bench.measure(), (loss_best + loss_all) / 2);
  CHECK(one.layers == std::vector<std::string>{"stage10.a"});
  const AutoIgnore more = choose_ignored(bench.graph, bench.ranges, s, bench.measure(), loss_best / 2);
  CHECK(more.layers.size() > 1);
  CHECK(more.layers.front() == "stage10.a");
  CHECK(s.fp32.score() - more.reached.score() < loss_best / 2);
  // Every choice of layers: none with fewer suffices.
  std::vector<std::string> layers;
  for (const LayerSensitivity& l : s.layers) {
    if (!l.block) layers.push_back(l.name);
  }
  for (unsigned chosen = 0; chosen < 1u << layers.size(); ++chosen) {
    if (static_cast<std::size_t>(std::popcount(chosen)) >= more.layers.size()) continue;
    Ranges tried = bench.ranges;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if ((chosen >> i & 1) != 0) tried.ignore.push_back(exactly(layers[i]));
    }
    CHECK(s.fp32.score() - bench.measure()(quantise(bench.graph, tried)).score() >= loss_best / 2);
  }
  Ranges ranges = bench.ranges;
  for (const std::string& layer : one.layers) ranges.ignore.push_back(exactly(layer));
  const QGraph q = quantise(bench.graph, ranges);
  CHECK(precision_of(q, "stage10.a") == Precision::fp32);
  CHECK(std::ranges::count(q.nodes, Precision::fp32, &QNode::precision) >= 1);
}

TEST_CASE("a score may be mAP, and without labels layers rank by SQNR, then by cosine") {
  Measurement detector{.mean_ap = 59.5, .agreement = 0, .sqnr_db = 20};
  CHECK(detector.score() == 59.5);
  CHECK(detector.metric() == std::string("mAP"));
  Sensitivity s{.model = "net", .data = "d"};
  s.fp32 = detector, s.int8 = {.mean_ap = 50.0, .sqnr_db = 10};
  s.layers = {{"a", false, {.mean_ap = 51.0, .sqnr_db = 30}}, {"b", false, {.mean_ap = 58.0, .sqnr_db = 5}}};
  CHECK(names_of(s.ranked()) == std::vector<std::string>{"b", "a"});
  const std::string text = to_json(s);
  CHECK(text.find("\"metric\": \"mAP\"") != std::string::npos);
  CHECK(to_json(sensitivity_from_json(text, "s")) == text);

  s.fp32 = {.agreement = 100}, s.int8 = {.agreement = 90, .sqnr_db = 10};
  s.layers = {{"a", false, {.agreement = 99, .sqnr_db = 12, .cosine = 0.9}},
              {"b", false, {.agreement = 90, .sqnr_db = 15, .cosine = 0.8}},
              {"c", false, {.agreement = 90, .sqnr_db = 12, .cosine = 0.95}}};
  CHECK(names_of(s.ranked()) == std::vector<std::string>{"b", "c", "a"});
  CHECK(to_json(s).find("\"metric\": \"sqnr_db\"") != std::string::npos);
  s.mode = SensitivityMode::alone;
  CHECK(names_of(s.ranked()) == std::vector<std::string>{"a", "c", "b"});
}
