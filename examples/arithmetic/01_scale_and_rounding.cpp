// 01  From real numbers to 8-bit integers and back: one scale, rounding to even, clipping.
//     Rules 1 and 2 of calib/QUANTIZATION.md.
//
//     real = step * q,   step = amax / 127,   q = rne(clamp(x / step, -127, 127))
//
// The ten numbers are a published example of the field; its integers are 70 113 66 127 94 95 96 53 62 68.
#include <algorithm>
#include <cmath>

#include "examples/common/lesson.h"
#include "examples/common/terminal.h"
#include "runtime/arithmetic.h"
#include "runtime/error.h"

using namespace octet;
using examples::Svg;

namespace {

QuantParams symmetric(float amax) {
  return {.step = arithmetic::symmetric_step(amax), .dead = amax <= arithmetic::kDeadRange};
}

void print(const std::vector<float>& values, float amax) {
  const QuantParams to = symmetric(amax);
  const float inverse = arithmetic::inverse_step(to.step);
  fmt::print("amax    {}\nstep    {}   {}\n", amax, to.step,
             to.dead ? "amax is at most 2^-24: a dead range, rule 3 makes its step 1" : "amax / 127");
  fmt::print("inverse {}   1 / step{}\n\n", inverse, to.dead ? "" : ", nearly 127 / amax");
  examples::Table table({"x", "x * inverse", "q", "step * q", "error / step"});
  for (const float x : values) {
    const std::int32_t q = arithmetic::quantise(x, to);
    const float back = arithmetic::dequantise(q, to.step, to.zero);
    const double steps = (static_cast<double>(x) - back) / to.step;  // within 1/2, unless the value was clipped
    table.add(examples::cells(x, examples::fixed(x * inverse, 3), q, back,
                              fmt::format("{:.3f}{}", steps, std::fabs(x) > amax && !to.dead ? " clipped" : "")));
  }
  fmt::print("{}", table.str());
}

// The staircase: x to the right, what its integer stands for upwards. With 7 levels instead of 255, to see the steps.
Svg staircase() {
  Svg svg(520, 300, "Rounding is a staircase around the line y = x; beyond amax it is flat");
  const auto x_at = [](double x) { return 260 + 60 * x; };
  const auto y_at = [](double y) { return 150 - 36 * y; };
  svg.line(x_at(-4.2), 150, x_at(4.2), 150, Svg::kGrey).line(260, 10, 260, 290, Svg::kGrey);
  svg.line(x_at(-4), y_at(-4), x_at(4), y_at(4), Svg::kBlue);
  std::vector<std::pair<double, double>> steps{{x_at(-4.2), y_at(-3)}};
  for (int q = -3; q < 3; ++q) {
    steps.emplace_back(x_at(q + 0.5), y_at(q));
    steps.emplace_back(x_at(q + 0.5), y_at(q + 1));
  }
  steps.emplace_back(x_at(4.2), y_at(3));
  svg.path(steps, Svg::kOrange, 2)
      .circle(x_at(0.5), y_at(0), 4, Svg::kOrange)
      .circle(x_at(1.5), y_at(2), 4, Svg::kOrange);
  svg.text(x_at(0.6), y_at(-0.5), "0.5 goes to 0").text(x_at(1.6), y_at(1.4), "1.5 goes to 2: to the even");
  svg.text(x_at(4.2), y_at(2.4), "clipped at 3", Svg::Align::end).text(x_at(4.2), 166, "x / step", Svg::Align::end);
  return svg.text(266, 22, "q").text(x_at(-3.9), y_at(3), "blue: real, orange: integer");
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<float> values{0.5043f, 0.8178f, 0.4798f, 0.9201f, 0.6819f, 0.6900f, 0.6925f, 0.3804f, 0.4479f, 0.4954f};
  float amax = -1;
  examples::Lesson lesson("01_scale_and_rounding", "Real numbers become 8-bit integers: scale, round to even, clip");
  lesson.option("--values", values, "the real numbers");
  lesson.option("--amax", amax, "the largest magnitude that fits; -1: that of the values");
  lesson.picture(staircase);
  return lesson.run(argc, argv, [&] {
    if (amax == -1) amax = examples::amax_of(values);
    require(amax >= 0, "--amax: {} is negative; a range reaches from -amax to amax", amax);
    fmt::print("1. Scale and round\n\n");
    print(values, amax);
    fmt::print("\n2. A smaller range has smaller steps, and clips\n\n");
    print(values, amax * 0.75f);
    fmt::print("\n3. Halves go to the even integer (step 1), so that rounding has no drift\n\n");
    std::vector<float> halves{-2.5f, -1.5f, -0.5f, 0.5f, 1.5f, 2.5f, 3.5f};
    std::vector<int> rounded;
    for (const float x : halves) rounded.push_back(arithmetic::round_even(x));
    examples::row("x", halves);
    examples::row("rne(x)", rounded);
  });
}
