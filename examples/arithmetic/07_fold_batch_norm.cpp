// 07  A batch-norm behind a convolution is an affine function of each channel, so it becomes part of the weights.
//     "Folding" in calib/QUANTIZATION.md.
//
//     g = gamma / sqrt(var + eps),   w' = w * g,   b' = b * g + (beta - mean * g)
#include <cmath>

#include "calib/fold.h"
#include "examples/common/lesson.h"
#include "examples/common/terminal.h"
#include "runtime/error.h"
#include "runtime/state_dict.h"

using namespace octet;
using examples::Svg;

namespace {

std::vector<float> inputs{1, -2, 0.5f}, weights{0.2f, -0.4f, 0.6f};
float bias = 0.05f, gamma_ = 1.5f, beta = 0.1f, mean = 0.3f, var = 0.25f;
constexpr float kEps = 1e-5f;

Tensor tensor(Shape shape, const std::vector<float>& values) { return Tensor::of<float>(shape, values); }

// conv 1x1 (K channels in, one out), then batch-norm: a Graph as a model file would describe it.
Graph network() {
  const auto k = static_cast<std::int64_t>(weights.size());
  Graph graph("conv_bn");
  const EdgeId x = graph.input("x", Shape{k, 1, 1});
  graph.set_output(graph.batch_norm("bn", graph.conv2d("conv", x, 1, {}), kEps));
  StateDict state;
  state.insert("conv.weight", tensor({1, k, 1, 1}, weights)), state.insert("conv.bias", tensor({1}, {bias}));
  state.insert("bn.weight", tensor({1}, {gamma_})), state.insert("bn.bias", tensor({1}, {beta}));
  state.insert("bn.running_mean", tensor({1}, {mean})), state.insert("bn.running_var", tensor({1}, {var}));
  graph.load(state);
  return graph;
}

double dot(std::span<const float> w, double b) {
  for (std::size_t k = 0; k < w.size(); ++k) b += static_cast<double>(w[k]) * inputs[k];
  return b;
}

// Both are straight lines through the same points: convolution, then batch-norm; and the folded convolution.
Svg lines(double folded_slope, double folded_offset) {
  Svg svg(420, 260, "Two straight lines one after the other are one straight line");
  const auto x_at = [](double x) { return 210 + 60 * x; };
  const auto y_at = [](double y) { return 130 - 25 * y; };
  const double g = gamma_ / std::sqrt(static_cast<double>(var) + kEps);
  svg.line(10, 130, 410, 130, Svg::kGrey).line(210, 10, 210, 250, Svg::kGrey);
  const auto draw = [&](double slope, double offset, const char* colour) {
    svg.path({{x_at(-3), y_at(offset - 3 * slope)}, {x_at(3), y_at(offset + 3 * slope)}}, colour, 2);
  };
  draw(weights[0], bias, Svg::kGrey), draw(folded_slope, folded_offset, Svg::kOrange);
  for (double x = -2.5; x < 3; x += 0.5) {
    svg.circle(x_at(x), y_at(g * (weights[0] * x + bias - mean) + beta), 3, Svg::kBlue);
  }
  svg.text(14, 226, "grey: the convolution; dots: batch-norm of it");
  return svg.text(14, 244, "orange: the folded convolution").text(404, 124, "the first input", Svg::Align::end);
}

}  // namespace

int main(int argc, char** argv) {
  examples::Lesson lesson("07_fold_batch_norm", "A batch-norm becomes part of the convolution before it");
  lesson.option("--inputs", inputs, "K inputs");
  lesson.option("--weights", weights, "K weights of one output channel");
  lesson.option("--bias", bias, "of the convolution");
  lesson.option("--gamma", gamma_, "");
  lesson.option("--beta", beta, "");
  lesson.option("--mean", mean, "running mean");
  lesson.option("--var", var, "running variance");
  std::vector<float> slope{0};
  float offset = 0;
  lesson.picture([&] { return lines(slope[0], offset); });
  return lesson.run(argc, argv, [&] {
    require(inputs.size() == weights.size(), "--inputs: {} numbers for {} weights", inputs.size(), weights.size());
    require(var >= 0, "--var: {} is negative", var);
    const Graph folded = calib::fold_batch_norm(network());
    require(folded.nodes().size() == 1, "the batch-norm was not folded");
    const Node& conv = folded.nodes()[0];
    const auto w = conv.parameter("weight").span<float>();
    slope.assign(w.begin(), w.end()), offset = conv.parameter("bias").span<float>()[0];
    const double g = gamma_ / std::sqrt(static_cast<double>(var) + kEps), y = dot(weights, bias);
    fmt::print("g = gamma / sqrt(var + eps) = {} / sqrt({} + 0.00001) = {}\n\n", gamma_, var, g);
    examples::row("w", weights);
    examples::row("w' = w * g", slope);
    fmt::print("\nb' = b * g + (beta - mean * g) = {}\n\n", offset);
    fmt::print("convolution              {:.7f}\n", y);
    fmt::print("then batch-norm          {:.7f}\n", g * (y - mean) + beta);
    fmt::print("folded convolution       {:.7f}\n", dot(w, offset));
    fmt::print("folded twice             {}\n",
               calib::fold_batch_norm(folded).nodes()[0].parameter("bias").span<float>()[0] == offset ? "unchanged"
                                                                                                      : "changed");
  });
}
