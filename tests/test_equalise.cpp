// Cross-layer equalisation and bias correction: what they must not change, and what they gain.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "calib/calibrate.h"
#include "calib/equalise.h"
#include "calib/fold.h"
#include "calib/quantise.h"
#include "models/measure.h"
#include "tests/program_graphs.h"

using namespace octet;
using namespace octet::calib;
using namespace octet::test;

namespace {

// A convolution, a depthwise one and a grouped one in a row, pools and a flatten between; a ReLU6 and a second reader
// that nothing may pass.
Graph chain_of_pairs() {
  Graph g("pairs");
  EdgeId x = g.observe(g.input("image", Shape{3, 8, 8}), "in");
  x = g.observe(g.relu("r1", g.conv2d("expand", x, 12, conv(3, 1, 1))), "e1");
  x = g.observe(g.relu("r2", g.conv2d("depthwise", x, 12, conv(3, 1, 1, 12))), "e2");
  x = g.max_pool("pool", x, Window::square(2, 2));
  x = g.observe(g.relu6("r3", g.conv2d("grouped", x, 12, conv(3, 1, 1, 3))), "e3");
  const EdgeId a = g.observe(g.conv2d("a", x, 6, conv(1)), "e4");
  const EdgeId b = g.observe(g.conv2d("b", a, 6, conv(1)), "e5");
  x = g.observe(g.add("sum", {a, b}), "e6");
  x = g.observe(g.relu("r4", g.conv2d("c", x, 5, conv(1))), "e7");
  x = g.observe(g.linear("fc1", g.flatten("flatten", x), 7), "e8");
  g.set_output(g.observe(g.linear("fc2", x, 4), "e9"));
  return g;
}

std::span<float> weights_of(Graph& g, const std::string& name) {
  for (std::size_t i = 0; i < g.nodes().size(); ++i) {
    if (g.nodes()[i].name != name) continue;
    for (Parameter& p : g.node(static_cast<int>(i)).parameters) {
      if (p.key == "weight") return p.value.span<float>();
    }
  }
  FAIL("no layer " << name);
  return {};
}

// Output channels that differ by 2^(direction * channel): one step for all of them serves the largest only.
void unbalance(Graph& g, const std::string& name, std::size_t channels, float direction) {
  const std::span<float> w = weights_of(g, name);
  for (std::size_t i = 0; i < w.size(); ++i) {
    w[i] *= std::exp2(direction * (static_cast<float>(i / (w.size() / channels)) - 5.0f));
  }
}

struct Trial {
  ThreadPool pool{1};
  Graph graph = chain_of_pairs();
  Tensor input;

  Trial() {
    Random random(77);
    randomise_weights(graph, random, 0.0);
    unbalance(graph, "expand", 12, 1), unbalance(graph, "depthwise", 12, -1), unbalance(graph, "c", 5, 1);
    input = random.tensor(with_batch(32, Shape{3, 8, 8}), 1.0);
  }
  std::vector<float> run(const QGraph& network) {
    kernels::PlanOptions options;
    options.batch = 32;
    Context context(kernels::plan(network, options), pool);
    Tensor out(DType::f32, Shape{32, 4});
    context.run(input, out);
    return {out.span<float>().begin(), out.span<float>().end()};
  }
  Ranges calibrate(const CalibrationOptions& options) {
    Calibrator calibrator(graph, options, pool);
    calibrator.observe(input);
    return calibrator.ranges();
  }
};

CalibrationOptions per_tensor() {
  CalibrationOptions options;
  options.weights = Granularity::tensor;
  options.batch = 32;
  return options;
}

}  // namespace

TEST_CASE("equalising finds the pairs that may be scaled, changes no float result, and not its input") {
  Trial t;
  const std::vector<float> before = t.run(as_float(t.graph));
  const std::span<const float> weights = weights_of(t.graph, "expand");
  const std::vector<float> kept(weights.begin(), weights.end());
  Equalised e = equalise(fold_batch_norm(t.graph));
  CHECK(e.pairs == std::vector<std::string>{"expand -> depthwise", "depthwise -> grouped", "c -> fc1", "fc1 -> fc2"});
  CHECK(t.run(as_float(e.graph)) == before);  // factors are powers of two
  CHECK(std::ranges::equal(weights_of(t.graph, "expand"), kept));
  CHECK(!std::ranges::equal(weights_of(e.graph, "expand"), kept));
  CHECK(t.run(as_float(equalise(e.graph).graph)) == before);  // and once more
}

TEST_CASE("where the second layer can take what the first has too much, their channels become alike") {
  Trial t;
  const auto spread = [&](Graph& g, const std::string& name, std::size_t channels) {
    const std::span<float> w = weights_of(g, name);
    float low = 1e30f, high = 0;
    for (std::size_t c = 0; c < channels; ++c) {
      float amax = 0;
      for (std::size_t i = 0; i < w.size() / channels; ++i)
        amax = std::max(amax, std::fabs(w[c * (w.size() / channels) + i]));
      low = std::min(low, amax), high = std::max(high, amax);
    }
    return high / low;
  };
  Equalised e = equalise(fold_batch_norm(t.graph));
  CHECK(spread(t.graph, "expand", 12) > 1000);
  CHECK(spread(e.graph, "expand", 12) < spread(t.graph, "expand", 12) / 30);
}

TEST_CASE("per-tensor INT8 gains from equalising, and ranges say that it was done") {
  Trial t;
  const std::vector<float> real = t.run(as_float(t.graph));
  const Ranges plain = t.calibrate(per_tensor());
  CalibrationOptions options = per_tensor();
  options.equalize = true;
  const Ranges equalised = t.calibrate(options);
  CHECK(equalised.equalized);
  const Ranges back = ranges_from_json(to_json(equalised), "t");
  CHECK(to_json(back) == to_json(equalised));
  const double without = models::sqnr_db(real, t.run(quantise(t.graph, plain)));
  const double with = models::sqnr_db(real, t.run(quantise(t.graph, back)));
  MESSAGE("SQNR per tensor: " << without << " dB, equalised " << with << " dB");
  CHECK(with > without + 3);
}

TEST_CASE("bias correction: a layer's mean output is that of its float weights") {
  // Positive inputs and one step for weights of very different sizes: rounding them shifts the small channels' means.
  Graph g("one");
  const EdgeId x = g.observe(g.input("image", Shape{6, 5, 5}), "in");
  g.set_output(g.conv2d("grouped", x, 8, conv(3, 1, 0, 2)));
  Random random(3);
  randomise_weights(g, random, 0.0);
  unbalance(g, "grouped", 8, 1);
  Tensor input = random.tensor(with_batch(64, Shape{6, 5, 5}), 1.0);
  for (float& v : input.span<float>()) v = std::fabs(v) + 0.5f;
  ThreadPool pool(1);
  const auto run = [&](const QGraph& network) {
    kernels::PlanOptions options;
    options.batch = 64;
    Context context(kernels::plan(network, options), pool);
    Tensor out(DType::f32, Shape{64, 8, 3, 3});
    context.run(input, out);
    return std::vector<float>(out.span<float>().begin(), out.span<float>().end());
  };
  const auto calibrated = [&](bool correct) {
    CalibrationOptions options = per_tensor();
    options.batch = 64, options.bias_correct = correct;
    Calibrator calibrator(g, options, pool);
    calibrator.observe(input);
    return calibrator.ranges();
  };
  const std::vector<float> real = run(as_float(g));
  const auto mean_errors = [&](const Ranges& ranges) {
    const std::vector<float> out = run(quantise(g, ranges));
    std::vector<double> errors(8);
    for (std::size_t i = 0; i < out.size(); ++i)
      errors[i / 9 % 8] += (static_cast<double>(out[i]) - real[i]) / (64 * 9);
    double sum = 0;
    for (const double e : errors) sum += std::fabs(e);
    return sum;
  };
  const Ranges plain = calibrated(false), corrected = calibrated(true);
  CHECK(plain.input_means.empty());
  CHECK(corrected.input_means.at("grouped").size() == 6);
  const Ranges back = ranges_from_json(to_json(corrected), "t");
  CHECK(to_json(back) == to_json(corrected));
  MESSAGE("mean errors: " << mean_errors(plain) << ", corrected " << mean_errors(back));
  CHECK(mean_errors(back) < 0.25 * mean_errors(plain));

  Ranges broken = corrected;
  broken.input_means["grouped"].push_back(1);
  CHECK_THROWS_WITH_AS(quantise(g, broken), doctest::Contains("grouped"), Error);
}

TEST_CASE("the means of a flattened input are by channel") {
  Trial t;
  CalibrationOptions options = per_tensor();
  options.bias_correct = true;
  const Ranges ranges = t.calibrate(options);
  CHECK(ranges.input_means.at("expand").size() == 3);
  CHECK(ranges.input_means.at("fc1").size() == 5);
  quantise(t.graph, ranges).validate();
}

TEST_CASE("neither goes with the notebook's arithmetic") {
  Trial t;
  CalibrationOptions options = preset_options(Preset::notebook);
  options.equalize = true;
  CHECK_THROWS_AS(Calibrator(t.graph, options, t.pool), Error);
  options.equalize = false, options.bias_correct = true;
  CHECK_THROWS_AS(Calibrator(t.graph, options, t.pool), Error);
}
