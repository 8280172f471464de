// Histograms and the amax rules: against the field's calibrators, against literal transcriptions, and against time.
#include <algorithm>
#include <chrono>
#include <random>

#include "calib/affine_search.h"
#include "calib/amax.h"
#include "calib/observer.h"
#include "calib/ranges.h"
#include "tests/calibration_goldens.h"

using namespace octet;
using namespace octet::calib;
using namespace octet::test;

namespace {

Histogram of_batches(const CalibrationGoldens& g, const nlohmann::json& source) {
  Histogram h;
  for (int i = 0; i < source["batches"].get<int>(); ++i) h.observe(g.batch(source["name"], i));
  return h;
}

Rule rule_named(const std::string& name) {
  for (const Rule rule : kRules) {
    if (name == name_of(rule)) return rule;
  }
  FAIL("no rule " << name);
  return Rule::max;
}

AmaxOptions options_of(const nlohmann::json& golden) {
  AmaxOptions o;
  o.is_unsigned = golden["unsigned"].get<bool>();
  o.stride = golden.value("stride", 1);
  o.start_bin = golden.value("start_bin", 128);
  o.percentile = golden.value("percentile", 99.99);
  return o;
}

// Counts of every kind: bells, exponential tails, spikes, gaps, zeros at the front.
std::vector<std::int64_t> random_counts(std::mt19937_64& random) {
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  std::vector<std::int64_t> counts(static_cast<std::size_t>(160 + below(500)));
  const int kind = below(5);
  const double scale = 1 + below(200);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double x = static_cast<double>(i) / scale;
    const double shape = kind == 0 ? std::exp(-x * x) : kind == 1 ? std::exp(-x) : kind == 2 ? 1.0 : 1 / (1 + x * x);
    counts[i] = static_cast<std::int64_t>(shape * (1 + below(5000)));
    if (kind >= 3 && below(4) != 0) counts[i] = 0;
  }
  for (int spikes = below(4); spikes > 0; --spikes) counts[static_cast<std::size_t>(below(160))] += below(100000);
  counts.back() = 1 + below(10);
  return counts;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TEST_CASE("every rule is within one bin of the field's calibrators") {
  const auto g = calibration_goldens();
  if (!g) return;
  int compared = 0;
  for (const auto& source : g->expected["cases"]) {
    const Histogram h = of_batches(*g, source);
    CAPTURE(source["name"].get<std::string>());
    CHECK(h.bins() == source["histogram_bins"].get<int>());
    CHECK(h.count() == source["histogram_total"].get<std::int64_t>());
    const double width = source["bin_width"].get<double>();
    CHECK(h.width() == doctest::Approx(width).epsilon(1e-6));
    for (const auto& golden : source["amax"]) {
      const std::string text = golden.dump();
      CAPTURE(text);
      const double ours = choose_amax(h, rule_named(golden["method"]), options_of(golden));
      CHECK(std::abs(ours - golden["value"].get<double>()) <= width * 1.0001);
      ++compared;
    }
  }
  CHECK(compared >= 80);
}

TEST_CASE("per-channel weights: each channel's own histogram") {
  const auto g = calibration_goldens();
  if (!g) return;
  const auto& golden = g->expected["weight_per_channel"];
  const Tensor& weight = g->tensors.at("weight");
  const auto per_channel = static_cast<std::size_t>(weight.elements() / weight.shape()[0]);
  for (std::size_t c = 0; c < static_cast<std::size_t>(weight.shape()[0]); ++c) {
    CAPTURE(c);
    Histogram h;
    h.observe(weight.span<float>().subspan(c * per_channel, per_channel));
    const double width = h.width() * 1.0001;
    CHECK(h.amax() == golden["amax"]["max"][c].get<float>());
    // PyTorch's scale of signed weights spans 255 steps; ours is amax / 127.
    CHECK(h.amax() / 127.5 == doctest::Approx(golden["torch_ao_scale"][c].get<double>()).epsilon(1e-6));
    CHECK(std::abs(choose_amax(h, Rule::mse) - golden["amax"]["mse"][c].get<double>()) <= width);
    CHECK(std::abs(choose_amax(h, Rule::percentile, {.percentile = 99.9}) -
                   golden["amax"]["percentile_99_9"][c].get<double>()) <= width);
  }
}

TEST_CASE("entropy chooses the bin of a literal transcription, on 1,000 random histograms") {
  std::mt19937_64 random(20261122);
  int inner = 0;
  for (int k = 0; k < 1000; ++k) {
    const std::vector<std::int64_t> counts = random_counts(random);
    AmaxOptions o;
    o.num_bits = k % 3 == 0 ? 4 + k % 5 : 8;
    o.is_unsigned = k % 4 == 1 && o.num_bits < 8;
    o.stride = 1 + k % 3;
    o.start_bin = k % 2 == 0 ? 128 : 16 + k % 100;
    const int literal =
        literal_entropy_edge({counts.begin(), counts.end()}, o.num_bits, o.is_unsigned, o.stride, o.start_bin);
    CAPTURE(k);
    CHECK(entropy_edge(counts, o) == literal);
    inner += literal + o.stride <= static_cast<int>(counts.size());
  }
  CHECK(inner > 200);  // not the trivial answer "the last edge" everywhere
}

TEST_CASE("mse chooses the first smallest of a literal transcription") {
  std::mt19937_64 random(7);
  int inner = 0;
  for (int k = 0; k < 60; ++k) {
    const std::vector<std::int64_t> counts = random_counts(random);
    const bool is_unsigned = k % 2 == 0;
    const float bound = is_unsigned ? 255.0f : 127.0f;
    std::vector<float> centres(counts.size());
    for (std::size_t i = 0; i < centres.size(); ++i) centres[i] = (static_cast<float>(i) + 0.5f) * 0.01f;
    double best = std::numeric_limits<double>::infinity();
    int chosen = -1;
    for (std::size_t i = 128; i < centres.size(); ++i) {
      const float scale = bound / centres[i];
      double error = 0;
      for (std::size_t j = 0; j < centres.size(); ++j) {
        const double back = std::min(std::nearbyint(centres[j] * scale), bound) / scale;
        error += static_cast<double>(counts[j]) * (back - centres[j]) * (back - centres[j]);
      }
      if (error < best) best = error, chosen = static_cast<int>(i);
    }
    CAPTURE(k);
    CHECK(mse_bin(counts, centres, {.is_unsigned = is_unsigned}) == chosen);
    inner += chosen + 1 < static_cast<int>(centres.size());
  }
  CHECK(inner > 20);
}

TEST_CASE("all four rules on 4,096 bins in 0.2 s") {
  std::mt19937_64 random(3);
  std::vector<float> values(1'000'000);
  for (float& v : values) {
    double sum = 0;
    for (int i = 0; i < 4; ++i) sum += static_cast<double>(random() >> 11) * 0x1p-53;
    v = static_cast<float>(sum - 2);
  }
  Histogram h(4096);
  h.observe(values);
  REQUIRE(h.bins() == 4096);
  const auto start = std::chrono::steady_clock::now();
  float sum = 0;
  for (const Rule rule : kRules) sum += choose_amax(h, rule);
  const double seconds = seconds_since(start);
  CHECK(sum > 0);
  MESSAGE("four rules, 4,096 bins: " << seconds * 1e3 << " ms");
#ifndef __SANITIZE_ADDRESS__
  CHECK(seconds < 0.2);
#endif
}

TEST_CASE("a histogram grows as batches exceed it, and one outlier does not make it huge") {
  Histogram h;
  const std::vector<float> first{0.0f, 0.5f, -1.0f, 1.0f};
  h.observe(first);
  CHECK(h.bins() == 2048);
  const float width = std::nextafter(1.0f / 2048, 1.0f);  // so that 1.0 falls into the last bin by itself
  CHECK(h.width() == width);
  CHECK(h.positive()[2047] == 1);
  h.observe(std::vector<float>{1.5f, -0.25f});
  CHECK(h.bins() == 3072);
  CHECK(h.width() == width);
  h.observe(std::vector<float>{31.75f});  // exact up to 65,536 bins
  CHECK(h.bins() == 65024);
  CHECK(h.width() == width);
  h.observe(std::vector<float>{-100.0f});
  CHECK(h.width() == 4 * width);
  CHECK(h.bins() == 51200);
  CHECK(h.bins() <= Histogram::kMaxBins);
  h.observe(std::vector<float>{1e30f});
  CHECK(h.bins() <= Histogram::kMaxBins);
  CHECK(h.count() == 9);
  std::int64_t sum = 0;
  for (const std::int64_t c : h.magnitudes()) sum += c;
  CHECK(sum == 9);
  CHECK(h.amax() == 1e30f);
  CHECK(h.min() == -100.0f);
}

TEST_CASE("merging is exact where widths agree: the same histogram however the values were dealt out") {
  std::mt19937_64 random(11);
  const auto value = [&](double range) {
    return static_cast<float>((static_cast<double>(random() >> 11) * 0x1p-52 - 1) * range);
  };
  std::vector<std::vector<float>> batches;
  for (int b = 0; b < 9; ++b) {
    batches.emplace_back();
    for (int i = 0; i < 500; ++i) batches.back().push_back(value(b == 5 ? 700.0 : 1.0 + b));
    batches.back().push_back(1.0f);  // batch 0's largest value again, on the edge between two bins
  }
  batches[0].push_back(-1.0f);
  Histogram whole;
  for (const auto& batch : batches) whole.observe(batch);
  Histogram first;
  first.observe(batches[0]);
  for (const std::size_t parts : {2u, 3u, 9u}) {
    CAPTURE(parts);
    Histogram merged;
    for (std::size_t part = 0; part < parts; ++part) {
      Histogram h;
      h.fix_width(first.width());
      for (std::size_t b = part; b < batches.size(); b += parts) h.observe(batches[b]);
      merged.merge(h);
    }
    CHECK(merged == whole);
  }
  Histogram zeros, other;
  zeros.observe(std::vector<float>(10, 0.0f));
  CHECK(choose_amax(zeros, Rule::entropy) == 0);
  zeros.merge(whole);
  CHECK(zeros.count() == whole.count() + 10);
  // Widths that do not agree: nothing is lost, and no value moves further than a bin of the wider one.
  other.observe(std::vector<float>{0.7f, 0.3f, -0.1f});
  const std::int64_t before = whole.count();
  whole.merge(other);
  std::int64_t sum = 0;
  for (const std::int64_t c : whole.magnitudes()) sum += c;
  CHECK(sum == before + 3);
}

TEST_CASE("a histogram comes back from JSON bit by bit, and broken ones are refused") {
  Histogram h;
  h.observe(std::vector<float>{0.1f, -0.2f, 0.30000001f});
  CHECK(Histogram::from_json(h.to_json()) == h);
  CHECK(Histogram::from_json(Histogram().to_json()) == Histogram());
  CHECK_THROWS_AS(Histogram::from_json("{}"), Error);
  CHECK_THROWS_AS(Histogram::from_json("nonsense"), Error);
  std::string text = h.to_json();
  text.replace(text.find("[0"), 2, "[-5");
  CHECK_THROWS_WITH_AS(Histogram::from_json(text), doctest::Contains("a count of -5"), Error);
}

TEST_CASE("NaN, infinities and options out of range are errors") {
  Histogram h;
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  for (const float bad : {nan, inf, -inf}) {
    for (const std::size_t at : {0u, 5u, 8u, 16u}) {
      std::vector<float> values(17, 1.0f);
      values[at] = bad;
      CHECK_THROWS_WITH_AS(h.observe(values), doctest::Contains("NaN or an infinity"), Error);
    }
  }
  CHECK(h.count() == 0);
  h.observe(std::vector<float>{1.0f});
  CHECK_THROWS_WITH_AS(choose_amax(h, Rule::mse, {.start_bin = 2048}), doctest::Contains("start bin 2048"), Error);
  CHECK_THROWS_WITH_AS(choose_amax(h, Rule::entropy, {.stride = 0}), doctest::Contains("stride of 0"), Error);
  CHECK_THROWS_WITH_AS(choose_amax(h, Rule::mse, {.stride = 2049}), doctest::Contains("1 to 2048"), Error);
  CHECK_THROWS_AS(choose_amax(h, Rule::percentile, {.percentile = 100.5}), Error);
  CHECK_THROWS_AS(choose_amax(h, Rule::entropy, {.num_bits = 1}), Error);
  CHECK_THROWS_AS(Histogram(0), Error);
  CHECK_THROWS_AS(Histogram(70000), Error);
}

TEST_CASE("PyTorch's observers: scale and zero point") {
  const auto g = calibration_goldens();
  if (!g) return;
  constexpr double kEps = 1.1920928955078125e-07;  // the field's observers let no scale be smaller
  int compared = 0;
  for (const auto& source : g->expected["cases"]) {
    const Histogram h = of_batches(*g, source);
    MovingAverageObserver average;
    for (int i = 0; i < source["batches"].get<int>(); ++i) {
      const auto batch = g->batch(source["name"], i);
      std::vector<float> values(batch.begin(), batch.end());
      average.observe(view_of(values));
    }
    for (const auto& golden : source["torch_ao"]) {
      const std::string kind = golden["observer"];
      const double scale = golden["scale"].get<double>();
      if (scale <= kEps) continue;
      CAPTURE(source["name"].get<std::string>());
      CAPTURE(kind);
      const bool reduce = kind.ends_with("reduce_range");
      ++compared;
      if (kind.starts_with("minmax_symmetric")) {
        CHECK(h.amax() / 127.5 == doctest::Approx(scale).epsilon(1e-6));  // PyTorch's signed scale; ours is amax / 127
        continue;
      }
      AffineRange range{h.min(), h.max()};
      if (kind.starts_with("moving")) range = {average.min(), average.max()};
      if (kind.starts_with("histogram")) range = search_affine_range(h);
      const QuantParams q = quant_params(Scheme::affine, reduce, std::max(-range.min, range.max), range.min, range.max);
      CHECK(q.step == doctest::Approx(scale).epsilon(kind.starts_with("histogram") ? 0.02 : 1e-6));
      CHECK(std::abs(q.zero - golden["zero_point"].get<int>()) <= (kind.starts_with("histogram") ? 1 : 0));
    }
  }
  CHECK(compared >= 30);
}
