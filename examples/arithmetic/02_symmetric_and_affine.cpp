// 02  Two ways to lay 8-bit integers over a range, and one that gives a bit away.
//     "Observers and ranges" in calib/CALIBRATION.md.
//
//     symmetric      -amax..amax on -127..127, zero point 0
//     affine         min..max on 0..255; the zero point is the integer that stands for exactly 0
//     reduce_range   the same on 0..127: products of two such bytes fit into 16 bits in pairs
#include <algorithm>
#include <cmath>

#include "calib/ranges.h"
#include "examples/common/lesson.h"
#include "examples/common/terminal.h"
#include "runtime/arithmetic.h"
#include "runtime/error.h"

using namespace octet;
using examples::Svg;

namespace {

struct Layout {
  const char* name;
  QuantParams to;
};

std::vector<Layout> layouts(float min, float max) {
  const float amax = std::max(std::fabs(min), std::fabs(max));
  return {{"symmetric", calib::quant_params(calib::Scheme::symmetric, false, amax, min, max)},
          {"affine", calib::quant_params(calib::Scheme::affine, false, amax, min, max)},
          {"reduce_range", calib::quant_params(calib::Scheme::affine, true, amax, min, max)}};
}

float back_of(float x, const QuantParams& to) {
  return arithmetic::dequantise(arithmetic::quantise(x, to), to.step, to.zero);
}

void print(const Layout& layout, const std::vector<float>& values) {
  const QuantParams& to = layout.to;
  fmt::print("{}: step {}, zero point {}, integers {} to {}, reals {:.4g} to {:.4g}\n\n", layout.name, to.step, to.zero,
             to.lo, to.hi, arithmetic::dequantise(to.lo, to.step, to.zero),
             arithmetic::dequantise(to.hi, to.step, to.zero));
  examples::Table table({"x", "q", "step * (q - zero)", "error"});
  double worst = 0;
  for (const float x : values) {
    const double error = static_cast<double>(x) - back_of(x, to);
    worst = std::max(worst, std::fabs(error));
    table.add(examples::cells(x, arithmetic::quantise(x, to), back_of(x, to), examples::fixed(error, 5)));
  }
  fmt::print("{}largest error {:.5f}, half a step {:.5f}\n\n", table.str(), worst, to.step / 2);
}

// Each range as a bar over one real axis, with the integers at its ends.
Svg bars(float min, float max) {
  Svg svg(560, 190, "Three ways to lay integers over a range of real numbers");
  const double reach = std::max({std::fabs(min), std::fabs(max), 1e-6f}) * 1.1;
  const auto at = [&](double x) { return 280 + 250 * x / reach; };
  svg.line(at(0), 10, at(0), 160, Svg::kGrey).text(at(0), 178, "0", Svg::Align::middle);
  svg.rect(at(std::min(min, 0.0f)), 14, at(std::max(max, 0.0f)) - at(std::min(min, 0.0f)), 10, Svg::kBlue);
  svg.text(at(0) + 4, 12, fmt::format("the values: {:.3g} to {:.3g}", min, max), Svg::Align::start, 10);
  double y = 44;
  for (const Layout& layout : layouts(min, max)) {
    const QuantParams& to = layout.to;
    const double lo = at(arithmetic::dequantise(to.lo, to.step, to.zero));
    const double hi = at(arithmetic::dequantise(to.hi, to.step, to.zero));
    svg.rect(lo, y, hi - lo, 14, Svg::kOrange).text(lo, y + 26, fmt::format("{}", to.lo), Svg::Align::middle, 10);
    svg.text(hi, y + 26, fmt::format("{}", to.hi), Svg::Align::middle, 10);
    svg.text(at(0) + 4, y + 11, fmt::format("{}, step {:.4f}, zero {}", layout.name, to.step, to.zero));
    y += 42;
  }
  return svg;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<float> values{-1.28f, -0.5f, 0, 0.01f, 1, 2, 3.82f};
  examples::Lesson lesson("02_symmetric_and_affine", "Symmetric, affine and 7-bit ranges of the same numbers");
  lesson.option("--values", values, "the real numbers; the smallest and the largest are the range");
  const auto extremes = [&] { return std::minmax_element(values.begin(), values.end()); };
  lesson.picture([&] { return bars(*extremes().first, *extremes().second); });
  return lesson.run(argc, argv, [&] {
    const auto [min, max] = extremes();
    for (const Layout& layout : layouts(*min, *max)) print(layout, values);
    fmt::print("Zero is exact in all three: padding and ReLU rely on it.\n");
  });
}
