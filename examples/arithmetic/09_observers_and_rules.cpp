// 09  What calibration remembers, and the four rules that make a range of it.
//     "Observers and ranges" and "Choosing amax" in calib/CALIBRATION.md.
//
// Four batches of a bell-shaped activation, one outlier in the last. 16 bins and 4 bits (7 positive levels) can be
// checked by hand; real ones have 2048 bins and 8 bits.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "calib/amax.h"
#include "calib/observer.h"
#include "examples/common/lesson.h"
#include "runtime/error.h"

using namespace octet;
using namespace octet::calib;
using examples::Svg;

namespace {

int bins = 16, bits = 4, start_bin = 8;
float percentile = 99, outlier = 3.9f;
constexpr auto kLeft = Svg::Align::end;
std::map<Rule, float> amax;  // what each rule chose

void draw_text(const Histogram& h) {
  const auto counts = h.magnitudes();
  const auto top = *std::ranges::max_element(counts);
  std::vector<std::string> marks(counts.size());
  for (const auto& [rule, a] : amax)
    marks[std::min(static_cast<std::size_t>(a / h.width()), marks.size() - 1)] += fmt::format("  <- {}", name_of(rule));
  const auto empty = [&](int i) { return i < h.bins() && counts[i] == 0 && marks[i].empty(); };
  fmt::print("\n  bin   from      count\n");
  for (int i = 0; i < h.bins(); ++i) {
    fmt::print("{:>5}  {:>8.5f}  {:>5}  {:#<{}}", i, h.edge(i), counts[i], "", (40 * counts[i] + top - 1) / top);
    const int first = i;
    while (empty(first) && empty(i + 1)) ++i;  // many empty bins make one line
    fmt::print("{}{}\n", marks[first], i > first ? fmt::format("in each up to bin {}", i) : "");
  }
}

Svg draw(const Histogram& h) {
  Svg svg(620, 260, "A histogram of magnitudes and the ranges that four rules make of it");
  const auto counts = h.magnitudes();
  const auto top = static_cast<double>(*std::ranges::max_element(counts));
  const double bar = 560.0 / h.bins();
  for (int i = 0; i < h.bins(); ++i) {
    const double height = 170 * std::sqrt(static_cast<double>(counts[i]) / top);  // a root, to see the tail
    svg.rect(30 + bar * i, 220 - height, bar - 1, height, Svg::kBlue);
  }
  svg.line(30, 220, 590, 220).text(590, 252, "|x|; heights are square roots of counts", kLeft);
  for (double y = 20; const auto& [rule, a] : amax) {
    const double x = 30 + bar * a / h.width();
    svg.line(x, y, x, 220, Svg::kRed).text(x - 4, y + 9, fmt::format("{} {:.3f}", name_of(rule), a), kLeft);
    y += 16;
  }
  return svg;
}

}  // namespace

int main(int argc, char** argv) {
  int count = 400;
  std::vector<float> values;
  examples::Lesson lesson("09_observers_and_rules", "Observers, a histogram, and four rules for a range");
  lesson.option("--values", values, "instead of the bell: at least 4, seen as 4 batches");
  lesson.option("--count", count, "values of the bell, 4 to 100000");
  lesson.option("--outlier", outlier, "the bell's last value");
  lesson.option("--bins", bins, "of the first batch");
  lesson.option("--bits", bits, "2 to 16");
  lesson.option("--start-bin", start_bin, "first candidate of entropy and mse");
  lesson.option("--percentile", percentile, "");
  std::optional<HistogramObserver> seen;
  lesson.picture([&] { return draw(*seen->histogram()); });
  return lesson.run(argc, argv, [&] {
    require(count >= 4 && count <= 100000, "--count: {} is not within 4..100000", count);
    if (values.empty()) values = examples::Random(9).bell(count), values.back() = outlier;
    require(values.size() >= 4, "--values: {} numbers; four batches need at least 4", values.size());
    require(std::ranges::any_of(values, [](float x) { return x != 0; }), "--values: all of them are 0");
    AbsMaxObserver largest;
    MovingAverageObserver average(0.5f);
    const Histogram& h = *seen.emplace(bins).histogram();
    fmt::print("average: the first batch's, then average + 0.5 * (batch's - average), of min and of max\n\n");
    fmt::print("batch  its min    its max    abs-max    average min  average max  histogram\n");
    for (std::size_t b = 0; b < 4; ++b) {
      const auto batch = std::span(values).first(values.size() * (b + 1) / 4).subspan(values.size() * b / 4);
      const View view{.data = reinterpret_cast<std::byte*>(batch.data()), .n = 1, .c = static_cast<int>(batch.size())};
      largest.observe(view), average.observe(view), seen->observe(view);
      fmt::print("{}      {:<9.5f}  {:<9.5f}  {:<9.5f}  {:<11.5f}  {:<11.5f}  {} bins of {}\n", b,
                 extremes_of(view).min, extremes_of(view).max, largest.amax(), average.min(), average.max(), h.bins(),
                 h.width());
    }
    for (const Rule rule : kRules)
      amax[rule] = choose_amax(h, rule, {.num_bits = bits, .start_bin = start_bin, .percentile = percentile});
    draw_text(h);
    fmt::print("\nrule        amax\n");
    for (const auto& [rule, a] : amax) fmt::print("{:<10}  {}\n", name_of(rule), a);
  });
}
