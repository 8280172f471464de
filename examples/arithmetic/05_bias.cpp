// 05  The bias joins the sum in the sum's own unit, as a 32-bit integer; the input's zero point joins the bias.
//     Rules 3 and 4 of calib/QUANTIZATION.md.
//
//     y = step_in * step_w * ( sum (q - zero) * v  +  b / (step_in * step_w) )
//     bias_q = rne(b / (step_in * step_w)),   B = bias_q - zero * sum v,   accumulator = sum q * v + B
#include <algorithm>
#include <cmath>

#include "examples/common/lesson.h"
#include "examples/common/terminal.h"
#include "runtime/arithmetic.h"
#include "runtime/error.h"

using namespace octet;
using examples::Svg;

namespace {

float step_in = 0.02f;
std::vector<float> weights{0.635f, -0.2f, 0.1f}, biases{0.123f, 4, -3.2768f, 0.00003f, 250000};
std::vector<int> inputs{114, 39, 164};
int zero = 64;

// What each bias becomes: its step (rule 3 widens it for a huge bias), its integer, and that integer in 16 bits.
void print_biases(float amax) {
  examples::Table table({"bias", "step_w", "unit", "bias_q", "stands for", "in 16 bits", "would stand for"});
  for (const float b : biases) {
    const float step_w = arithmetic::weight_step(amax, b, step_in);
    const double unit = static_cast<double>(step_in) * step_w;
    const std::int64_t q = arithmetic::quantise_bias(b, step_in, step_w);
    const std::int64_t clipped = std::clamp<std::int64_t>(q, -32767, 32767);
    table.add(examples::cells(b, step_w, fmt::format("{:.4g}", unit), q,
                              fmt::format("{:.6g}", static_cast<double>(q) * unit), clipped,
                              fmt::format("{:.6g}", static_cast<double>(clipped) * unit)));
  }
  fmt::print("{}\n", table.str());
}

// The same sum two ways, with the first bias: zero point taken from every input, or once from the bias.
void print_correction(float amax) {
  const float step_w = arithmetic::weight_step(amax, biases[0], step_in);
  std::vector<int> v;
  std::int64_t weight_sum = 0, shifted = 0, stored = 0;
  const std::int64_t bias_q = arithmetic::quantise_bias(biases[0], step_in, step_w);
  for (std::size_t k = 0; k < weights.size(); ++k) {
    v.push_back(arithmetic::quantise(weights[k], arithmetic::inverse_step(step_w), -127, 127, 0));
    weight_sum += v[k];
    shifted += std::int64_t{inputs[k] - zero} * v[k];
    stored += std::int64_t{inputs[k]} * v[k];
  }
  const std::int64_t corrected = bias_q - zero * weight_sum;
  examples::row("inputs q", inputs);
  examples::row("weights v", v);
  fmt::print("\nsum (q - zero) * v + bias_q   {} + {} = {}\n", shifted, bias_q, shifted + bias_q);
  fmt::print("B = bias_q - zero * sum v     {} - {} * {} = {}\n", bias_q, zero, weight_sum, corrected);
  fmt::print("sum q * v + B                 {} + {} = {}\n", stored, corrected, stored + corrected);
  fmt::print("in real units                 {}\n",
             static_cast<double>(stored + corrected) * step_in * static_cast<double>(step_w));
}

// The biases that 16 bits can hold, on a logarithmic axis of |bias_q|.
Svg axis() {
  Svg svg(560, 120, "Biases on a logarithmic axis: 16 bits end early, 29 bits are what rule 3 allows");
  const auto at = [](double q) { return 30 + 500 * std::log2(std::max(q, 1.0)) / 31; };
  svg.rect(at(1), 50, at(32767) - at(1), 16, Svg::kGrey)
      .rect(at(32767), 50, at(536870912) - at(32767), 16, Svg::kOrange);
  svg.text(at(1), 84, "1").text(at(32767), 84, "2^15", Svg::Align::middle).text(at(536870912), 84, "2^29");
  svg.text(30, 112, "grey: what 16 bits hold; orange: what the sum has room for. Dots: the biases of this run");
  for (const float b : biases) {
    const float step_w = arithmetic::weight_step(examples::amax_of(weights), b, step_in);
    svg.circle(at(std::fabs(static_cast<double>(arithmetic::quantise_bias(b, step_in, step_w)))), 36, 5, Svg::kBlue);
  }
  return svg;
}

}  // namespace

int main(int argc, char** argv) {
  examples::Lesson lesson("05_bias", "A bias in units of step_in * step_w, and the zero-point correction");
  lesson.option("--step-in", step_in, "real units of one integer of the input");
  lesson.option("--zero", zero, "the input's zero point, 0 to 255");
  lesson.option("--weights", weights, "one output channel, in reals");
  lesson.option("--inputs", inputs, "as many integers, 0 to 255");
  lesson.option("--biases", biases, "reals; the first is used for the sum");
  lesson.picture(axis);
  return lesson.run(argc, argv, [&] {
    require(step_in >= 1e-30f && step_in <= 1e30f, "--step-in: {} is not within 1e-30..1e30", step_in);
    require(inputs.size() == weights.size(), "--inputs: {} numbers for {} weights", inputs.size(), weights.size());
    require(zero >= 0 && zero <= 255, "--zero: {} is outside of 0..255", zero);
    for (const int q : inputs) require(q >= 0 && q <= 255, "--inputs: {} is outside of 0..255", q);
    const float amax = examples::amax_of(weights);
    fmt::print("1. Biases as integers; unit = step_in * step_w\n\n");
    print_biases(amax);
    fmt::print("2. The zero point {} of the input, once a channel instead of once a product\n\n", zero);
    print_correction(amax);
  });
}
