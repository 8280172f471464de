// Calibration: folding, observers, ranges.json, and the way from a Graph and its ranges to a QGraph.
#include <doctest/doctest.h>

#include <filesystem>
#include <limits>

#include "calib/calibrate.h"
#include "calib/fold.h"
#include "models/catdog/catdog.h"
#include "runtime/arithmetic.h"
#include "tests/program_graphs.h"

using namespace octet;
using namespace octet::test;

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}
bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Every way a batch-norm can stand: behind a convolution with and without bias, a depthwise one, a linear layer; by
// itself; behind a layer whose output has another use, or is watched.
Graph norms() {
  Graph g("norms");
  EdgeId x = g.input("image", Shape{3, 6, 6});
  x = g.relu("r1", g.batch_norm("bn1", g.conv2d("c1", x, 4, conv(3))));
  x = g.batch_norm("bn2", g.conv2d("c2", x, 6, {Window::square(1), 1, false}));
  x = g.batch_norm("bn3", g.conv2d("c3", x, 6, {Window::square(3, 1, 1), 6, true}));
  const EdgeId c4 = g.conv2d("c4", x, 6, conv(1));
  x = g.add("sum", {c4, g.batch_norm("bn4", c4)});                               // c4 has another use
  x = g.batch_norm("bn5", g.observe(g.conv2d("c5", x, 2, conv(1)), "watched"));  // c5 is watched
  x = g.batch_norm("bn6", g.linear("fc", g.flatten("flatten", x), 5));
  g.set_output(g.observe(x, "out"));
  return g;
}

std::vector<float> parameter(const Graph& g, const std::string& node, const std::string& key) {
  for (const Node& n : g.nodes()) {
    if (n.name == node) {
      const auto span = n.parameter(key).span<float>();
      return {span.begin(), span.end()};
    }
  }
  return {};
}
bool has_node(const Graph& g, const std::string& name) {
  return std::ranges::any_of(g.nodes(), [&](const Node& n) { return n.name == name; });
}

const QNode& node_of(const QGraph& g, const std::string& name) {
  for (const QNode& n : g.nodes) {
    if (n.name == name) return n;
  }
  fail("no node {}", name);
}

calib::Ranges calibrate(const Graph& g, const Tensor& input, calib::CalibrationOptions options = {}) {
  ThreadPool pool(1);
  options.batch = static_cast<int>(input.shape()[0]);
  calib::Calibrator calibrator(g, options, pool);
  calibrator.observe(input);
  return calibrator.ranges();
}

// One convolution between two observed edges.
Graph single(int channels, int out, int kernel, bool bias = true) {
  Graph g("single");
  EdgeId x = g.observe(g.input("image", Shape{channels, kernel, kernel}), "in");
  x = g.conv2d("layer", x, out, {Window::square(kernel), 1, bias});
  g.set_output(g.observe(x, "out"));
  return g;
}
calib::Ranges single_ranges(float in, float out) {
  calib::Ranges r;
  r.model = "single";
  for (const auto& [name, amax] : {std::pair{"in", in}, std::pair{"out", out}}) {
    r.edges.push_back(
        {name, amax, -amax, amax, calib::quant_params(calib::Scheme::symmetric, false, amax, -amax, amax)});
  }
  return r;
}

}  // namespace

TEST_CASE("folding changes no result beyond the rounding of the folded weights") {
  Random random(1);
  Graph g = norms();
  randomise_weights(g, random, 0.1);
  const Graph folded = calib::fold_batch_norm(g);
  for (const char* gone : {"bn1", "bn2", "bn3", "bn6"}) CHECK_FALSE(has_node(folded, gone));
  for (const char* stays : {"bn4", "bn5"}) CHECK(has_node(folded, stays));
  const Tensor input = random.tensor(Shape{2, 3, 6, 6}, 1.0);
  const QGraph before = calib::as_float(g, false), after = calib::as_float(g, true);
  CHECK(before.nodes.size() == after.nodes.size() + 4 + 1);  // four batch-norms, and r1 becomes part of c1
  const Values plain = Interpreter(before, 2).run(reals_of(input))[static_cast<std::size_t>(before.output)];
  const Values once = Interpreter(after, 2).run(reals_of(input))[static_cast<std::size_t>(after.output)];
  // Each folded weight and bias is off by one rounding at most: no more than one more term in each layer's bound. The
  // interpreter's bounds count a rounding a term of every layer, which is more than that; both sides have one.
  double widest = 0, off = 0;
  for (std::size_t i = 0; i < plain.real.size(); ++i) {
    const double bound = plain.bound[i] + once.bound[i];
    off = std::max(off, std::fabs(plain.real[i] - once.real[i]) / bound);
    widest = std::max(widest, bound / std::max(1.0, std::fabs(plain.real[i])));
    CHECK(std::fabs(plain.real[i] - once.real[i]) <= bound);
  }
  CHECK(off > 0);        // the folded network is another computation
  CHECK(widest < 1e-2);  // and the bound says something
}

TEST_CASE("folding leaves its input alone, and folding twice changes nothing") {
  Random random(2);
  Graph g = norms();
  randomise_weights(g, random, 0.1);
  const std::vector<float> weight = parameter(g, "c1", "weight"), bias = parameter(g, "c1", "bias");
  const std::vector<float> mean = parameter(g, "bn1", "running_mean");
  const Graph once = calib::fold_batch_norm(g);
  CHECK(parameter(g, "c1", "weight") == weight);
  CHECK(parameter(g, "c1", "bias") == bias);
  CHECK(parameter(g, "bn1", "running_mean") == mean);
  CHECK(parameter(once, "c1", "weight") != weight);
  const Graph twice = calib::fold_batch_norm(once);
  REQUIRE(twice.nodes().size() == once.nodes().size());
  for (const Node& n : once.nodes()) {
    for (const Parameter& p : n.parameters) CHECK(parameter(twice, n.name, p.key) == parameter(once, n.name, p.key));
  }
  CHECK(twice.edges().size() == once.edges().size());
}

TEST_CASE("folding by hand: 2 * x behind a batch-norm") {
  Graph g("one");
  EdgeId x = g.input("image", Shape{1, 1, 1});
  x = g.batch_norm("bn", g.conv2d("c", x, 2, {Window::square(1), 1, false}), 0.0f);
  g.set_output(g.observe(x, "out"));
  const auto set = [&](int node, const char* key, std::vector<float> values) {
    for (Parameter& p : g.node(node).parameters) {
      if (p.key == key) p.value = Tensor::of<float>(p.shape, values);
    }
  };
  set(0, "weight", {2, 2});
  set(1, "weight", {3, 0}), set(1, "bias", {1, 7}), set(1, "running_mean", {5, 100}), set(1, "running_var", {4, 0.25f});
  for (const auto how : {calib::FoldArithmetic::rounded_once, calib::FoldArithmetic::notebook}) {
    const Graph folded = calib::fold_batch_norm(g, how);
    CHECK(parameter(folded, "c", "weight") == std::vector<float>{3, 0});   // g = 3 / 2, and gamma 0
    CHECK(parameter(folded, "c", "bias") == std::vector<float>{-6.5, 7});  // 1 - 5 * 1.5
  }
  set(1, "running_var", {0, 0});
  CHECK(mentions(message_of([&] { calib::fold_batch_norm(g); }), "bn"));  // eps is 0 here: 3 / 0
  Graph usual = g;
  usual.node(1).eps = 1e-5f;
  const std::vector<float> w = parameter(calib::fold_batch_norm(usual), "c", "weight");
  CHECK(w[0] == static_cast<float>(2.0 * (3.0 / std::sqrt(static_cast<double>(1e-5f)))));  // running_var 0 is fine
  CHECK(w[1] == 0.0f);
}

TEST_CASE("observers stream, merge, keep a floor and refuse NaN") {
  std::vector<float> data = {1, -3, 2, 0.5f, -0.25f, 2.5f};
  View v;
  v.data = reinterpret_cast<std::byte*>(data.data());
  v.n = 1, v.h = 1, v.w = 3, v.c = 2, v.stride_w = 2, v.stride_h = v.stride_n = 6;
  calib::AbsMaxObserver a, b, floored(1.0f);
  CHECK(a.amax() == 0.0f);
  CHECK(floored.amax() == 1.0f);
  a.observe(v);
  CHECK(a.amax() == 3.0f);
  CHECK(a.min() == -3.0f);
  CHECK(a.max() == 2.5f);
  CHECK(a.count() == 6);
  View slice = v;  // one channel of two: the other is not looked at
  slice.c = 1;
  b.observe(slice);
  CHECK(b.amax() == 2.0f);
  CHECK(b.count() == 3);
  data = {0, 4, 0, 0, 0, 0};
  b.observe(v);
  CHECK(b.max() == 4.0f);
  CHECK(b.min() == -0.25f);
  a.merge(b);
  CHECK(a.amax() == 4.0f);
  CHECK(a.min() == -3.0f);
  CHECK(a.count() == 15);
  data = {0.5f, 0, 0, 0, 0, -0.75f};
  floored.observe(v);
  CHECK(floored.amax() == 1.0f);
  CHECK(floored.min() == -0.75f);
  for (const float bad : {kNaN, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    data[3] = bad;
    CHECK_THROWS_AS(a.observe(v), Error);
    CHECK(a.amax() == 4.0f);  // and nothing of it is kept
    CHECK(a.count() == 15);
  }
}

TEST_CASE("calibration: streaming, the options, and the edges that they watch") {
  Random random(3);
  Graph g = chain();
  randomise_weights(g, random, 0);
  observe_all(g);
  const Tensor input = random.tensor(Shape{4, 3, 17, 13}, 2.0);
  const calib::Ranges whole = calibrate(g, input);
  CHECK(whole.images == 4);
  // In two halves: the same ranges. And a smaller last batch is fine.
  ThreadPool pool(2);
  calib::Calibrator halves(g, {.batch = 3}, pool);
  CHECK(mentions(message_of([&] { halves.ranges(); }), "no image"));
  Tensor first(DType::f32, Shape{3, 3, 17, 13}), last(DType::f32, Shape{1, 3, 17, 13});
  std::ranges::copy(input.span<float>().first(first.span<float>().size()), first.span<float>().begin());
  std::ranges::copy(input.span<float>().last(last.span<float>().size()), last.span<float>().begin());
  halves.observe(first), halves.observe(last);
  const calib::Ranges streamed = halves.ranges(), part1 = calibrate(g, first), part2 = calibrate(g, last);
  REQUIRE(streamed.edges.size() == whole.edges.size());
  for (std::size_t i = 0; i < whole.edges.size(); ++i) {
    CHECK(streamed.edges[i].observer == whole.edges[i].observer);
    CHECK(streamed.edges[i].amax == std::max(part1.edges[i].amax, part2.edges[i].amax));
    CHECK(streamed.edges[i].min == std::min(part1.edges[i].min, part2.edges[i].min));
    CHECK(whole.edges[i].amax > 0);  // every edge was seen, the flatten's too
  }
  CHECK(whole.find("relu1")->min == 0.0f);
  CHECK(whole.find("flatten")->amax == whole.find("pool2")->amax);
  // Behind the pool: no wider than before it.
  const calib::Ranges pooled = calibrate(g, input, {.after_pool = true});
  CHECK(pooled.find("relu1")->amax <= whole.find("relu1")->amax);
  CHECK(pooled.find("relu1")->min >= whole.find("relu1")->min);
  CHECK(pooled.find("relu1")->amax == pooled.find("pool1")->amax);
  // Not folded: another computation of the same, so nearly the same ranges.
  const calib::Ranges unfolded = calibrate(g, input, {.fold_first = false});
  for (const calib::EdgeRange& e : whole.edges) {
    CHECK(std::fabs(unfolded.find(e.observer)->amax - e.amax) <= 1e-3f * e.amax);
  }
  // The notebook's floor of 1.0, per tensor weights; it knows no zero points.
  Tensor faint = input.clone();
  for (float& x : faint.span<float>()) x *= 1e-4f;
  const calib::Ranges floored = calibrate(g, faint, {.preset = calib::Preset::notebook});
  CHECK(floored.find("image")->amax == 1.0f);
  CHECK(floored.weights == calib::Granularity::tensor);
  CHECK(calibrate(g, faint).find("image")->amax < 1e-3f);
  CHECK_THROWS_AS(calibrate(g, input, {.range = {.scheme = calib::Scheme::affine}, .preset = calib::Preset::notebook}),
                  Error);
  // NaN is an error wherever it comes from.
  faint.span<float>()[7] = kNaN;
  CHECK_THROWS_AS(calibrate(g, faint), Error);
  Graph nothing("nothing");
  nothing.set_output(nothing.relu("r", nothing.input("x", Shape{1, 2, 2})));
  CHECK(mentions(message_of([&] { calib::Calibrator(nothing, {}, pool); }), "no edge is observed"));
}

TEST_CASE("a bias that needs 1e11 steps widens its channel's step; nothing is clipped") {
  Graph g = single(1, 2, 1);
  g.node(0).parameters[0].value = Tensor::of<float>(Shape{2, 1, 1, 1}, std::vector<float>{1e-9f, 1.0f});
  g.node(0).parameters[1].value = Tensor::of<float>(Shape{2}, std::vector<float>{10.0f, 10.0f});
  calib::Ranges r = single_ranges(1.0f, 12.7f);
  const QGraph q = calib::quantise(g, r);
  const QNode& n = node_of(q, "layer");
  CHECK(n.precision == Precision::int8);
  const double step_in = r.edges[0].quant.step;
  CHECK(10.0 / (step_in * (1e-9 / 127)) > 1e11);
  CHECK(n.weight_step[1] == arithmetic::symmetric_step(1.0f));
  CHECK(n.weight_step[0] > 1e3f * (1e-9f / 127));
  for (const std::size_t c : {0u, 1u}) {
    CHECK(std::fabs(n.bias_q[c] * step_in * static_cast<double>(n.weight_step[c]) - 10.0) < 1e-3);
    CHECK(std::abs(n.bias_q[c]) <= (1 << 29) + 64);
  }
  // Per tensor, all channels get the widest.
  r.weights = calib::Granularity::tensor;
  const QGraph per_tensor = calib::quantise(g, r);
  CHECK(node_of(per_tensor, "layer").weight_step[0] == node_of(per_tensor, "layer").weight_step[1]);
  // So wide that no float can hold the step: that layer stays in float and says why.
  g.node(0).parameters[1].value = Tensor::of<float>(Shape{2}, std::vector<float>{3e38f, 0.0f});
  r = single_ranges(6.5e-8f, 1.0f);
  const QGraph refused = calib::quantise(g, r);
  CHECK(node_of(refused, "layer").precision == Precision::fp32);
  CHECK(mentions(node_of(refused, "layer").why, "channel 0"));
}

TEST_CASE("a layer whose accumulator may overflow stays in float and is named") {
  const int side = 365;  // 365^2 products of 127 by 127 are above 2^31
  Graph g = single(1, 2, side);
  Tensor weight(DType::f32, Shape{2, 1, side, side});
  const auto w = weight.span<float>();
  std::fill(w.begin(), w.begin() + side * side, 0.001f);
  std::fill(w.begin() + side * side, w.end(), 1.0f);
  g.node(0).parameters[0].value = weight;
  g.node(0).parameters[1].value = Tensor(DType::f32, Shape{2});
  QGraph q = calib::quantise(g, single_ranges(1.0f, 1.0f));
  CHECK(node_of(q, "layer").precision == Precision::fp32);
  CHECK(mentions(node_of(q, "layer").why, "accumulator of channel 0"));
  CHECK(mentions(node_of(q, "layer").why, "31 bits"));
  CHECK(kernels::plan(q, {}) != nullptr);
  // Per tensor only channel 1 is that large.
  calib::Ranges r = single_ranges(1.0f, 1.0f);
  r.weights = calib::Granularity::tensor;
  q = calib::quantise(g, r);
  CHECK(mentions(node_of(q, "layer").why, "accumulator of channel 1"));
  CHECK(365.0 * 365 * 127 * 127 > 0x1p31);
  CHECK(364.0 * 364 * 127 * 127 < 0x1p31);
  Graph fits = single(1, 1, 364);
  fits.node(0).parameters[0].value = Tensor(DType::f32, Shape{1, 1, 364, 364});
  for (float& x : fits.node(0).parameters[0].value.span<float>()) x = 1.0f;
  fits.node(0).parameters[1].value = Tensor(DType::f32, Shape{1});
  CHECK(node_of(calib::quantise(fits, single_ranges(1.0f, 1.0f)), "layer").precision == Precision::int8);
}

TEST_CASE("zero channels, dead edges, and affine ranges quantise to something finite") {
  Random random(4);
  for (const auto scheme : {calib::Scheme::symmetric, calib::Scheme::affine}) {
    for (const bool reduce : {false, true}) {
      Graph g = single(3, 4, 2);
      randomise_weights(g, random, 0);
      std::ranges::fill(g.node(0).parameters[0].value.span<float>().first(12), 0.0f);
      g.node(0).parameters[1].value.span<float>()[0] = 0.0f;
      calib::Ranges r = single_ranges(2.0f, 3.0f);
      r.scheme = scheme;
      for (calib::EdgeRange& e : r.edges) e.quant = calib::quant_params(scheme, reduce, e.amax, e.min, e.max);
      const QGraph q = calib::quantise(g, r);
      const QNode& n = node_of(q, "layer");
      CHECK(n.weight_step[0] == 1.0f);
      CHECK(n.bias_q[0] == 0);
      for (const QEdge& e : q.edges) {
        if (e.quantised) CHECK(e.quant.hi == (scheme == calib::Scheme::symmetric || reduce ? 127 : 255));
      }
      // A dead output: whatever the layer makes, every integer is the zero point.
      r.edges[1].quant = calib::quant_params(scheme, reduce, 0, 0, 0);
      const QGraph dead = calib::quantise(g, r);
      ThreadPool pool(1);
      const Tensor input = random.tensor(Shape{1, 3, 2, 2}, 50.0);
      for (const kernels::Isa isa : kernels::available_isas()) {
        const Run run = run_once(dead, {.isa = isa}, input, pool);
        for (const float y : run.output.span<float>()) CHECK(y == 0.0f);
      }
    }
  }
}

TEST_CASE("an unobserved concatenation holds the ranges of all of its inputs") {
  for (const auto scheme : {calib::Scheme::symmetric, calib::Scheme::affine}) {
    Graph g("cat");
    const EdgeId x = g.observe(g.input("image", Shape{1, 1, 2}), "in");
    const EdgeId a = g.observe(g.relu("up", x), "up");
    const EdgeId b = g.observe(g.conv2d("down", x, 1, {Window::square(1), 1, false}), "down");
    const EdgeId c = g.observe(g.conv2d("silent", x, 1, {Window::square(1), 1, false}), "silent");
    g.set_output(g.concat("cat", {a, b, c}));
    g.node(1).parameters[0].value = Tensor::of<float>(Shape{1, 1, 1, 1}, std::vector<float>{-1.0f});
    g.node(2).parameters[0].value = Tensor::of<float>(Shape{1, 1, 1, 1}, std::vector<float>{0.0f});
    const Tensor input = Tensor::of<float>(Shape{1, 1, 1, 2}, std::vector<float>{0.08f, 0.1f});
    const QGraph q = calib::quantise(g, calibrate(g, input, {.range = {.scheme = scheme}}));
    const QNode& cat = node_of(q, "cat");
    CHECK(cat.precision == Precision::int8);
    const QuantParams& to = q.edges[static_cast<std::size_t>(cat.output)].quant;
    CHECK_FALSE(to.dead);
    ThreadPool pool(1);
    const Run run = run_once(q, {}, input, pool);
    const float wanted[] = {0.08f, 0.1f, -0.08f, -0.1f, 0.0f, 0.0f};
    for (std::size_t i = 0; i < 6; ++i) {
      // At most: half a step of the input, half of the layer's, half of the concatenation's.
      CHECK(std::fabs(run.output.span<float>()[i] - wanted[i]) <= 1.6f * to.step);
    }
    CHECK(to.step < 0.2f / 120);
  }
}

TEST_CASE("a pool that is observed on both sides keeps its input's integers") {
  Graph g("both");
  EdgeId x = g.observe(g.input("image", Shape{2, 4, 4}), "in");
  x = g.observe(g.conv2d("c", x, 2, conv(1)), "before");
  x = g.observe(g.max_pool("pool", x, Window::square(2, 2)), "after");
  g.set_output(g.observe(g.conv2d("d", x, 2, conv(1)), "out"));
  Random random(6);
  randomise_weights(g, random, 0);
  const QGraph q = calib::quantise(g, calibrate(g, random.tensor(Shape{1, 2, 4, 4}, 1.0)));
  const QNode& pool = node_of(q, "pool");
  CHECK(pool.precision == Precision::int8);
  CHECK(q.edges[static_cast<std::size_t>(pool.inputs[0])].quant ==
        q.edges[static_cast<std::size_t>(pool.output)].quant);
}

TEST_CASE("changing one weight of cnn3 moves the ranges of cv3 and later only") {
  Graph g = models::catdog();
  g.seed_weights(5);
  Random random(5);
  Tensor input(DType::u8, Shape{1, 224, 224, 3});
  for (std::uint8_t& p : input.span<std::uint8_t>()) p = static_cast<std::uint8_t>(random.bits());
  const calib::CalibrationOptions options{.photo = kernels::PlanOptions::Photo{}};
  const calib::Ranges before = calibrate(g, input, options);
  for (std::size_t i = 0; i < g.nodes().size(); ++i) {
    if (g.nodes()[i].name != "cnn3") continue;
    for (float& w : g.node(static_cast<int>(i)).parameters[0].value.span<float>().first(1)) w += 25.0f;
  }
  const calib::Ranges after = calibrate(g, input, options);
  REQUIRE(before.edges.size() == 7);
  for (const char* same : {"input", "cv1", "cv2"}) CHECK(before.find(same)->amax == after.find(same)->amax);
  for (const char* moved : {"cv3", "cv4", "fc1", "fc2"}) CHECK(before.find(moved)->amax != after.find(moved)->amax);
  CHECK(before.find("input")->amax == 255.0f);
}
