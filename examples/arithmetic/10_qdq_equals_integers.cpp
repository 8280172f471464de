// 10  Fake quantisation and integer arithmetic are the same layer.
//     "Choosing amax" (fake quantisation) in calib/CALIBRATION.md and rule 7 of calib/QUANTIZATION.md.
//
// Training tools and ONNX files with quantise - dequantise pairs (QDQ) compute in floats that were rounded to the grid;
// an integer engine adds integers and multiplies once, at the end. Both are step_in * step_w * sum(q * v), so they
// agree but for the last bits of the floats, that is: near ties.
#include <algorithm>
#include <cmath>

#include "calib/fake_quant.h"
#include "examples/common/lesson.h"
#include "examples/common/terminal.h"
#include "runtime/arithmetic.h"
#include "runtime/error.h"

using namespace octet;
using examples::fixed;

namespace {

std::vector<float> fake(const std::vector<float>& values) {
  const float amax = examples::amax_of(values);
  const Tensor x = Tensor::of<float>({static_cast<std::int64_t>(values.size())}, values);
  const Tensor q = calib::fake_tensor_quant(x, Tensor::of<float>({1}, std::span<const float>(&amax, 1)));
  return {q.span<float>().begin(), q.span<float>().end()};
}

struct Layer {
  std::vector<float> x, w;
  float bias, amax_out;
};

struct Result {
  std::vector<float> x, w;   // what is multiplied
  double bias, sum, factor;  // sum * factor is the output, before rounding
  int q;
};

// As floats on the grid; the sum in double, so that its own rounding plays no part.
Result simulate(const Layer& l) {
  Result r{fake(l.x), fake(l.w), l.bias, l.bias, 127.0 / l.amax_out, 0};
  for (std::size_t k = 0; k < r.x.size(); ++k) r.sum += static_cast<double>(r.x[k]) * r.w[k];
  r.q = static_cast<int>(std::nearbyint(std::clamp(r.sum * r.factor, -127.0, 127.0)));
  return r;
}

// As integers, which the doubles hold exactly.
Result compute(const Layer& l) {
  const QuantParams in{.step = arithmetic::symmetric_step(examples::amax_of(l.x))};
  const float step_w = arithmetic::weight_step(examples::amax_of(l.w), l.bias, in.step);
  const auto bias = static_cast<double>(arithmetic::quantise_bias(l.bias, in.step, step_w));
  const float m = arithmetic::multiplier(in.step, step_w, arithmetic::symmetric_step(l.amax_out));
  Result r{{}, {}, bias, bias, m, 0};
  for (std::size_t k = 0; k < l.x.size(); ++k) {
    r.x.push_back(static_cast<float>(arithmetic::quantise(l.x[k], in)));
    r.w.push_back(static_cast<float>(arithmetic::quantise(l.w[k], {.step = step_w})));
    r.sum += static_cast<double>(r.x[k]) * r.w[k];
  }
  r.q = arithmetic::requantise(static_cast<std::int32_t>(r.sum), m, -127, 127, 0);
  return r;
}

}  // namespace

int main(int argc, char** argv) {
  Layer layer{{1, -0.5f, 2, 2.54f}, {0.635f, -0.2f, 0.1f, 0.313f}, 0.123f, 5.08f};
  int layers = 2000, seed = 10;
  examples::Lesson lesson("10_qdq_equals_integers", "One layer as fake quantisation and as integers");
  lesson.option("--inputs", layer.x, "K inputs");
  lesson.option("--weights", layer.w, "K weights");
  lesson.option("--bias", layer.bias, "");
  lesson.option("--amax-out", layer.amax_out, "range of the output");
  lesson.option("--layers", layers, "random layers to compare, 0 to 100000");
  lesson.option("--seed", seed, "of those");
  return lesson.run(argc, argv, [&] {
    require(layer.x.size() == layer.w.size(), "--weights: {} numbers for {} inputs", layer.w.size(), layer.x.size());
    require(layer.x.size() <= 50000, "--inputs: {} numbers; their products may not fit into 32 bits", layer.x.size());
    require(layer.amax_out > 0, "--amax-out: {} is not positive", layer.amax_out);
    require(layers >= 0 && layers <= 100000, "--layers: {} is not within 0..100000", layers);
    const Result s = simulate(layer), i = compute(layer);
    examples::Table table({"x", "on the grid", "q", "w", "on the grid", "v", "product", "q * v"});
    for (std::size_t k = 0; k < s.x.size(); ++k) {
      table.add(examples::cells(layer.x[k], fixed(s.x[k], 5), i.x[k], layer.w[k], fixed(s.w[k], 5), i.w[k],
                                fixed(static_cast<double>(s.x[k]) * s.w[k], 6), i.x[k] * i.w[k]));
    }
    fmt::print("{}\nfloats    sum {:.6f}, bias {:.6f} in it, * 127 / {} -> q = {}\n", table.str(), s.sum, s.bias,
               layer.amax_out, s.q);
    const auto m = static_cast<float>(i.factor);
    fmt::print("integers  sum {}, bias {} in it, * m = {} -> q = {}\n\n", i.sum, i.bias, m, i.q);
    examples::Random random(seed);
    int differ = 0;
    for (int n = 0; n < layers; ++n) {
      for (auto* list : {&layer.x, &layer.w}) std::ranges::generate(*list, [&] { return random.uniform(); });
      layer.bias = random.uniform(), layer.amax_out = 1;
      differ += simulate(layer).q != compute(layer).q;
    }
    fmt::print("Of {} random layers, {} differ.\n", layers, differ);
  });
}
