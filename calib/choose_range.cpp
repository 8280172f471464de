#include "calib/choose_range.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "calib/affine_search.h"
#include "runtime/arithmetic.h"
#include "runtime/error.h"

namespace octet::calib {
namespace {

constexpr const char* kNames[] = {"max", "entropy", "mse", "percentile", "moving_average", "histogram"};
constexpr int kBars = 128;  // of a sketch: as many as a drawing of a few hundred pixels shows

HistogramSketch sketch_of(const Histogram& h) {
  const std::vector<std::int64_t> counts = h.magnitudes();
  std::size_t used = counts.size();
  while (used > 1 && counts[used - 1] == 0) --used;
  const std::size_t merged = (used + kBars - 1) / kBars;
  HistogramSketch sketch{.width = h.width() * static_cast<float>(merged)};
  sketch.counts.resize((used + merged - 1) / merged);
  for (std::size_t i = 0; i < used; ++i) sketch.counts[i / merged] += counts[i];
  return sketch;
}

Rule rule_of(Method method) {
  return method == Method::entropy ? Rule::entropy : method == Method::mse ? Rule::mse : Rule::percentile;
}

}  // namespace

const char* name_of(Method method) { return kNames[static_cast<int>(method)]; }

Method method_named(std::string_view name) {
  const auto* found = std::ranges::find(kNames, name);
  require(found != std::end(kNames), "the method '{}' is unknown; there are {}", name, fmt::join(kNames, ", "));
  return static_cast<Method>(found - std::begin(kNames));
}

std::unique_ptr<Observer> make_observer(Method method, int bins, float floor) {
  if (method == Method::max) return std::make_unique<AbsMaxObserver>(floor);
  if (method == Method::moving_average) return std::make_unique<MovingAverageObserver>();
  return std::make_unique<HistogramObserver>(bins);
}

EdgeRange choose_range(const std::string& name, const Observer& observer, const RangeOptions& o) {
  require(observer.count() > 0, "calibration saw no value of the edge '{}'", name);
  const Histogram* h = observer.histogram();
  EdgeRange range{.observer = name, .amax = observer.amax(), .min = observer.min(), .max = observer.max()};
  const bool affine = o.scheme == Scheme::affine;
  const bool by_rule = o.method == Method::entropy || o.method == Method::mse || o.method == Method::percentile;
  require(h != nullptr || !(by_rule || o.method == Method::histogram), "the method {} needs a histogram",
          name_of(o.method));
  if (h != nullptr) {
    AmaxOptions rule = o.rule;
    // One side of zero: all levels of an affine range are on it. (With reduce_range there are half of them, as many as
    // a signed range has on one side.)
    rule.is_unsigned = affine && observer.min() >= 0 && !o.reduce_range;
    for (const Rule r : kRules) range.rules[name_of(r)] = choose_amax(*h, r, rule);
    range.histogram = sketch_of(*h);
  }
  if (by_rule) {
    range.amax = range.rules.at(name_of(rule_of(o.method)));
    range.min = std::max(range.min, -range.amax), range.max = std::min(range.max, range.amax);
  } else if (o.method == Method::histogram) {
    require(affine, "the method histogram chooses affine ranges: it goes with --scheme affine");
    const AffineRange found = search_affine_range(*h);
    range.min = found.min, range.max = found.max;
    range.amax = std::max(std::fabs(found.min), std::fabs(found.max));
  }
  range.quant = quant_params(o.scheme, o.reduce_range, range.amax, range.min, range.max, o.rule.num_bits);
  return range;
}

EdgeRange choose_wide_range(const std::string& name, const Observer& observer) {
  require(observer.count() > 0, "calibration saw no value of the edge '{}'", name);
  EdgeRange range{.observer = name, .amax = observer.amax(), .min = observer.min(), .max = observer.max()};
  if (observer.histogram() != nullptr) range.histogram = sketch_of(*observer.histogram());
  range.quant.lo = -QuantParams::kWide, range.quant.hi = QuantParams::kWide;
  range.quant.dead = range.amax <= arithmetic::kDeadRange;
  range.quant.step = arithmetic::symmetric_step(range.amax, QuantParams::kWide);
  return range;
}

}  // namespace octet::calib
