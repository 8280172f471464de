// 03  One step for all weights of a convolution, or one for each output channel.
//     Rule 3 of calib/QUANTIZATION.md.
//
// The outputs of a 1x1 convolution at one pixel: channel c is the dot product of the inputs with weights[c]. A channel
// whose weights are 100 times smaller is left with one or two integers when the largest channel sets the step.
#include <algorithm>
#include <cmath>
#include <span>

#include "examples/common/lesson.h"
#include "examples/common/terminal.h"
#include "runtime/arithmetic.h"
#include "runtime/error.h"

using namespace octet;
using examples::Svg;

namespace {

struct Channel {
  float step;
  std::vector<int> q;  // the weights
  std::int64_t sum;    // of the integers' products
  double real, stands_for;
  double error() const { return std::fabs(stands_for - real); }
};

// One output channel: `amax` is what its step has to reach.
Channel convolve(std::span<const float> w, float amax, const std::vector<float>& x, float step_in) {
  Channel c{.step = arithmetic::symmetric_step(amax), .q = {}, .sum = 0, .real = 0, .stands_for = 0};
  const QuantParams to{.step = c.step, .dead = amax <= arithmetic::kDeadRange}, in{.step = step_in};
  for (std::size_t k = 0; k < x.size(); ++k) {
    c.q.push_back(arithmetic::quantise(w[k], to));
    c.sum += std::int64_t{c.q[k]} * arithmetic::quantise(x[k], in);
    c.real += static_cast<double>(w[k]) * x[k];
  }
  c.stands_for = static_cast<double>(c.sum) * step_in * c.step;
  return c;
}

void print(const std::vector<Channel>& channels) {
  examples::Table table({"channel", "step", "sum", "stands for", "real", "error"});
  for (std::size_t c = 0; c < channels.size(); ++c) {
    const Channel& ch = channels[c];
    table.add(examples::cells(c, ch.step, ch.sum, examples::fixed(ch.stands_for, 6), examples::fixed(ch.real, 6),
                              examples::fixed(ch.error(), 6)));
  }
  for (const Channel& c : channels) examples::row("  weights q", c.q);
  fmt::print("\n{}\n", table.str());
}

// Each channel's error relative to its result: grey with one step, orange with its own.
Svg errors(const std::vector<Channel>& tensor, const std::vector<Channel>& channel) {
  Svg svg(480, 40 + 46 * static_cast<int>(tensor.size()), "Relative errors, per tensor and per channel");
  svg.text(10, 18, "error / result: one step for all (grey), one a channel (orange)");
  for (std::size_t c = 0; c < tensor.size(); ++c) {
    const double y = 32 + 46 * static_cast<double>(c);
    const auto percent = [&](const Channel& ch) { return ch.real == 0 ? 0 : 100 * ch.error() / std::fabs(ch.real); };
    svg.text(10, y + 20, fmt::format("channel {}", c));
    svg.rect(80, y, std::min(300.0, 1 + 3 * percent(tensor[c])), 14, Svg::kGrey);
    svg.rect(80, y + 17, std::min(300.0, 1 + 3 * percent(channel[c])), 14, Svg::kOrange);
    svg.text(390, y + 12, fmt::format("{:.2f} %", percent(tensor[c])));
    svg.text(390, y + 29, fmt::format("{:.2f} %", percent(channel[c])));
  }
  return svg;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<float> inputs{1, -0.5f, 2, 0.3f}, weights{0.635f, -0.2f, 0.1f, 0.5f, 0.006f, 0.0021f, -0.0044f, 0.0035f};
  examples::Lesson lesson("03_per_tensor_and_per_channel", "One step for a layer's weights, or one a channel");
  lesson.option("--inputs", inputs, "K inputs");
  lesson.option("--weights", weights, "C x K weights, channel after channel");
  std::vector<Channel> per_tensor, per_channel;
  lesson.picture([&] { return errors(per_tensor, per_channel); });
  return lesson.run(argc, argv, [&] {
    const std::size_t k = inputs.size();
    require(weights.size() % k == 0, "--weights: {} numbers are no whole number of channels of {}", weights.size(), k);
    const float step_in = arithmetic::symmetric_step(examples::amax_of(inputs));
    for (std::size_t c = 0; c < weights.size(); c += k) {
      const auto w = std::span<const float>(weights).subspan(c, k);
      per_tensor.push_back(convolve(w, examples::amax_of(weights), inputs, step_in));
      per_channel.push_back(convolve(w, examples::amax_of(w), inputs, step_in));
    }
    fmt::print("step of the inputs {}\n\nper tensor: the largest weight of all sets the step\n", step_in);
    print(per_tensor);
    fmt::print("per channel: each channel's own largest weight does\n");
    print(per_channel);
  });
}
