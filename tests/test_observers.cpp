// Observers of every kind, the methods that choose a range from them, and what the Calibrator does with adds.
#include <doctest/doctest.h>

#include <algorithm>

#include "calib/calibrate.h"
#include "calib/quantise.h"
#include "runtime/arithmetic.h"
#include "tests/calibration_goldens.h"
#include "tests/program_graphs.h"

using namespace octet;
using namespace octet::calib;
using namespace octet::test;

namespace {

void show(Observer& observer, std::vector<float> values) { observer.observe(view_of(values)); }

// A bell with a tail: every rule cuts elsewhere.
std::vector<float> bell(std::uint64_t seed, int count = 20000) {
  Random random(seed);
  std::vector<float> values;
  const Tensor noise = random.tensor(Shape{4, count}, 1.0);
  for (int i = 0; i < count; ++i) {
    float sum = 0;
    for (int k = 0; k < 4; ++k) sum += noise.span<float>()[static_cast<std::size_t>(k * count + i)];
    values.push_back(i % 2000 == 0 ? 3 * sum : sum);
  }
  return values;
}

// x + y + z, observed on every edge.
Graph three_adds() {
  Graph g("three");
  const EdgeId in = g.observe(g.input("image", Shape{3, 6, 6}), "in");
  const EdgeId x = g.observe(g.conv2d("x", in, 4, conv(1)), "x");
  const EdgeId y = g.observe(g.conv2d("y", in, 4, conv(1)), "y");
  const EdgeId z = g.observe(g.relu("rz", g.conv2d("z", in, 4, conv(1))), "z");
  const EdgeId sum = g.relu("rs", g.add("sum", {x, y, z}));
  g.set_output(g.observe(g.conv2d("out", g.observe(sum, "sum"), 2, conv(1)), "out"));
  return g;
}

Ranges calibrated(const Graph& g, const CalibrationOptions& options, const Tensor& input) {
  ThreadPool pool(1);
  Calibrator calibrator(g, options, pool);
  calibrator.observe(input);
  return calibrator.ranges();
}

}  // namespace

TEST_CASE("a moving average follows the batches' extremes") {
  MovingAverageObserver o(0.25f);
  show(o, {-1, 2});
  CHECK(o.min() == -1);
  CHECK(o.max() == 2);
  show(o, {-5, 4});
  CHECK(o.min() == -2);
  CHECK(o.max() == 2.5f);
  CHECK(o.amax() == 2.5f);
  CHECK(o.count() == 4);
  MovingAverageObserver other(0.25f);
  show(other, {0, 8.5f});
  other.merge(o);  // one batch and two
  CHECK(other.max() == doctest::Approx(4.5));
  CHECK_THROWS_AS(MovingAverageObserver(0.0f), Error);
}

TEST_CASE("observers come back from JSON, and those of different kinds do not mix") {
  std::vector<std::unique_ptr<Observer>> observers;
  for (const Method method : {Method::max, Method::moving_average, Method::entropy}) {
    observers.push_back(make_observer(method, 256, 0.0f));
  }
  for (const auto& o : observers) {
    CAPTURE(name_of(o->kind()));
    CHECK(observer_from_json(o->to_json())->count() == 0);  // nothing seen yet
    show(*o, {0.1f, -0.7f, 0.3f});
    show(*o, {0.9f, 0.0f});
    const auto back = observer_from_json(o->to_json());
    CHECK(back->kind() == o->kind());
    CHECK(back->min() == o->min());
    CHECK(back->max() == o->max());
    CHECK(back->count() == 5);
    CHECK(back->to_json() == o->to_json());
    CHECK(o->clone()->to_json() == o->to_json());
    for (const auto& other : observers) {
      if (other->kind() != o->kind())
        CHECK_THROWS_WITH_AS(o->merge(*other), doctest::Contains("cannot take in"), Error);
    }
  }
  for (const char* bad : {"", "[]", "{}", "{\"kind\": \"other\"}", "{\"kind\": \"min_max\", \"floor\": 0}"}) {
    CHECK_THROWS_AS(observer_from_json(bad), Error);
  }
}

TEST_CASE("each method reaches the range: its amax is the rule's own") {
  HistogramObserver o;
  show(o, bell(5));
  std::vector<float> chosen;
  for (const Method method : {Method::entropy, Method::mse, Method::percentile}) {
    const EdgeRange r = choose_range("e", o, {.method = method, .rule = {.percentile = 99.9}});
    const Rule rule = method == Method::entropy ? Rule::entropy : method == Method::mse ? Rule::mse : Rule::percentile;
    CHECK(r.amax == choose_amax(*o.histogram(), rule, {.percentile = 99.9}));
    CHECK(r.quant.step == arithmetic::symmetric_step(r.amax));
    CHECK(r.rules.at("max") == o.amax());
    CHECK(r.amax < o.amax());
    chosen.push_back(r.amax);
    std::int64_t drawn = 0;
    for (const std::int64_t c : r.histogram.counts) drawn += c;
    CHECK(drawn == o.count());
    CHECK(r.histogram.counts.size() <= 128);
  }
  std::ranges::sort(chosen);
  CHECK(chosen[0] < chosen[1]);
  CHECK(chosen[1] < chosen[2]);
  AbsMaxObserver plain;
  CHECK_THROWS_WITH_AS(choose_range("e", plain, {}), doctest::Contains("saw no value of the edge 'e'"), Error);
  show(plain, {1});
  CHECK_THROWS_WITH_AS(choose_range("e", plain, {.method = Method::mse}), doctest::Contains("needs a histogram"),
                       Error);
  CHECK_THROWS_WITH_AS(method_named("median"), doctest::Contains("there are max, entropy"), Error);
}

TEST_CASE("affine ranges: cut on both sides, one-sided edges use all levels, reduced range, fewer bits") {
  HistogramObserver o;
  std::vector<float> values = bell(6);
  for (float& v : values) v = v < 0 ? v / 4 : v;
  show(o, values);
  const RangeOptions affine{.method = Method::percentile, .scheme = Scheme::affine};
  const EdgeRange r = choose_range("e", o, affine);
  CHECK(r.max == r.amax);
  CHECK(r.min == std::max(o.min(), -r.amax));
  CHECK(r.quant.lo == 0);
  CHECK(r.quant.hi == 255);
  CHECK(r.quant.zero > 0);
  RangeOptions reduced = affine;
  reduced.reduce_range = true;
  CHECK(choose_range("e", o, reduced).quant.hi == 127);
  reduced.rule.num_bits = 6;
  CHECK(choose_range("e", o, reduced).quant.hi == 31);
  RangeOptions six;
  six.rule.num_bits = 6;
  CHECK(choose_range("e", o, six).quant.hi == 31);
  CHECK(choose_range("e", o, six).quant.lo == -31);
  six.rule.num_bits = 16;
  CHECK_THROWS_WITH_AS(choose_range("e", o, six), doctest::Contains("2 to 8 run as integers"), Error);

  for (float& v : values) v = std::max(v, 0.0f);
  HistogramObserver positive;
  show(positive, values);
  const EdgeRange one_sided = choose_range("e", positive, {.method = Method::mse, .scheme = Scheme::affine});
  CHECK(one_sided.quant.zero == 0);
  CHECK(one_sided.amax == choose_amax(*positive.histogram(), Rule::mse, {.is_unsigned = true}));
  CHECK_THROWS_AS(choose_range("e", positive, {.method = Method::histogram}), Error);
}

TEST_CASE("a dead edge is marked whatever the method, and its step is 1") {
  for (const Method method : {Method::max, Method::entropy, Method::mse, Method::percentile, Method::moving_average}) {
    for (const Scheme scheme : {Scheme::symmetric, Scheme::affine}) {
      const auto o = make_observer(method, 2048, 0.0f);
      show(*o, std::vector<float>(100, 0.0f));
      const EdgeRange r = choose_range("e", *o, {.method = method, .scheme = scheme});
      CHECK(r.amax == 0);
      CHECK(r.quant.dead);
      CHECK(r.quant.step == 1.0f);
    }
  }
}

TEST_CASE("an add's inputs have their own ranges, or share one observer that saw them all") {
  Graph g = three_adds();
  Random random(9);
  randomise_weights(g, random, 0.0);
  const Tensor input = random.tensor(with_batch(4, g.edges()[0].shape), 2.0);
  for (const Method method : {Method::max, Method::mse}) {
    CalibrationOptions own;
    own.range.method = method;
    own.batch = 4;
    CalibrationOptions shared = own;
    shared.share_add_range = true;
    const Ranges apart = calibrated(g, own, input), together = calibrated(g, shared, input);
    CHECK(apart.find("x")->quant.step != apart.find("y")->quant.step);
    CHECK(together.find("x")->quant == together.find("y")->quant);
    CHECK(together.find("x")->quant == together.find("z")->quant);
    CHECK(together.find("sum")->quant == apart.find("sum")->quant);
    CHECK(together.share_add_range);
    if (method == Method::max) {
      CHECK(together.find("x")->amax ==
            std::max({apart.find("x")->amax, apart.find("y")->amax, apart.find("z")->amax}));
    }
    const QGraph q = quantise(g, together);
    q.validate();
    CHECK(ranges_from_json(to_json(together), "t").share_add_range);
  }
}

TEST_CASE("without an observer behind it, an add's range is what its inputs allow") {
  Graph g = three_adds();
  Random random(10);
  randomise_weights(g, random, 0.0);
  const Tensor input = random.tensor(with_batch(4, g.edges()[0].shape), 2.0);
  CalibrationOptions o;
  o.batch = 4;
  const Ranges watched = calibrated(g, o, input);
  o.observe_add_output = false;
  const Ranges summed = calibrated(g, o, input);
  const double sum = static_cast<double>(summed.find("x")->amax) + summed.find("y")->amax + summed.find("z")->amax;
  CHECK(summed.find("sum")->amax == doctest::Approx(sum));
  CHECK(summed.find("sum")->min == 0);  // a ReLU follows
  CHECK(summed.find("sum")->amax >= watched.find("sum")->amax);
  CHECK(ranges_from_json(to_json(summed), "t").add_observer == "inputs");
}

TEST_CASE("presets choose the walk-through's configurations") {
  const CalibrationOptions simple = preset_options(Preset::simple), x86 = preset_options(Preset::x86);
  CHECK(simple.range.method == Method::max);
  CHECK(simple.weights == Granularity::tensor);
  CHECK(x86.range.method == Method::histogram);
  CHECK(x86.weights == Granularity::channel);
  for (const auto& o : {simple, x86}) {
    CHECK(o.range.scheme == Scheme::affine);
    CHECK(o.range.reduce_range);
  }
  Graph g = three_adds();
  Random random(12);
  randomise_weights(g, random, 0.0);
  const Tensor input = random.tensor(with_batch(8, g.edges()[0].shape), 2.0);
  const Ranges r = calibrated(g, x86, input);
  CHECK(r.preset == Preset::x86);
  CHECK(r.find("x")->quant.hi == 127);
  CHECK(r.find("x")->quant.zero > 0);
  quantise(g, r).validate();
  CHECK(to_json(ranges_from_json(to_json(r), "t")) == to_json(r));
}
