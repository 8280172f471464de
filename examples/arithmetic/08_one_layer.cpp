// 08  One convolution - batch-norm - ReLU - max-pool stage from floats to bytes, every stage printed.
//     The library makes the integers; the sums are plain loops here; the library's kernels must give the same bytes.
#include <algorithm>
#include <cmath>

#include "calib/calibrate.h"
#include "calib/quantise.h"
#include "examples/common/lesson.h"
#include "kernels/plan/plan.h"
#include "runtime/arithmetic.h"
#include "runtime/error.h"
#include "runtime/state_dict.h"

using namespace octet;
using examples::grid;
namespace {

std::vector<float> image = examples::Random(8).tenths(36);
std::vector<float> weights{0.1f, -0.2f, 0.05f, 0.3f, 0.635f, -0.1f, -0.25f, 0.15f, 0.4f};
std::vector<float> norm{0.123f, 1.5f, 0.1f, 0.3f, 0.25f};  // bias; gamma, beta, mean, variance
int side = 6;

Graph network() {
  Graph g("stage");
  const EdgeId x = g.observe(g.input("image", Shape{1, side, side}), "image");
  const EdgeId y = g.batch_norm("bn", g.conv2d("conv", x, 1, {.window = Window::square(3)}));
  g.set_output(g.max_pool("pool", g.observe(g.relu("relu", y), "conv"), Window::square(2, 2)));
  StateDict state;
  state.insert("conv.weight", Tensor::of<float>({1, 1, 3, 3}, weights));
  const char* keys[] = {"conv.bias", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"};
  for (int i = 0; i < 5; ++i) state.insert(keys[i], Tensor::of<float>({1}, std::span<const float>(&norm[i], 1)));
  g.load(state);
  return g;
}

// What `make` makes of each window of kernel x kernel numbers, of n x n.
template <class T, class Make>
std::vector<T> slide(const std::vector<T>& in, int n, int kernel, int stride, const Make& make) {
  std::vector<T> out;
  for (int i = 0; i + kernel <= n; i += stride) {
    for (int j = 0; j + kernel <= n; j += stride) out.push_back(make(in.begin() + i * n + j));
  }
  return out;
}

void walk() {
  const int n = side - 2, half = n / 2;
  const std::vector<double> reals(image.begin(), image.end());
  const auto sum = [](auto at, const auto& w, auto s) {
    for (int k = 0; k < 9; ++k) s += at[k / 3 * side + k % 3] * static_cast<decltype(s)>(w[k]);
    return s;
  };
  const auto largest = [n](auto at) { return std::max({at[0], at[1], at[n], at[n + 1]}); };
  auto y = slide(reals, side, 3, 1, [&](auto at) { return sum(at, weights, double{norm[0]}); });
  grid("1. the image, in floats", image, side), grid("2. convolution", y, n, "{:.4f}");
  const double g = norm[1] / std::sqrt(double{norm[4]} + 1e-5f);
  for (double& v : y) v = std::max((v - norm[3]) * g + norm[2], 0.0);
  grid("3. batch-norm and ReLU", y, n, "{:.4f}"),
      grid("4. max-pool: the float result", slide(y, n, 2, 2, largest), half, "{:.4f}");
  ThreadPool threads(1);
  calib::Calibrator calibrator(network(), {}, threads);
  calibrator.observe(Tensor::of<float>({1, 1, side, side}, image));
  const QGraph q = calib::quantise(network(), calibrator.ranges());
  const QNode& conv = *std::ranges::find(q.nodes, "conv", &QNode::name);
  const QuantParams in = q.edges[conv.inputs[0]].quant, out = q.edges[conv.output].quant;
  fmt::print("5. steps: image {}, weights {}, output {}\n\n", in.step, conv.weight_step[0], out.step);
  std::vector<std::int64_t> bytes, v(conv.weight.span<std::int8_t>().begin(), conv.weight.span<std::int8_t>().end());
  for (const float x : image) bytes.push_back(arithmetic::quantise(x, in));
  grid("6. the image, in integers", bytes, side), grid("7. folded weights, in integers", v, 3);
  std::vector<float> back;
  auto sums = slide(bytes, side, 3, 1, [&](auto at) { return sum(at, v, std::int64_t{conv.bias_q[0]}); });
  grid(fmt::format("8. sums, the folded bias {} among them", conv.bias_q[0]), sums, n);
  const float m = arithmetic::multiplier(in.step, conv.weight_step[0], out.step);
  for (auto& s : sums) s = arithmetic::requantise(static_cast<int>(s), m, arithmetic::relu_lo(out), out.hi, out.zero);
  grid(fmt::format("9. times m = {}, rounded; the ReLU is the lower limit 0", m), sums, n);
  const auto result = slide(sums, n, 2, 2, largest);
  for (const auto r : result) back.push_back(arithmetic::dequantise(static_cast<int>(r), out.step, out.zero));
  grid("10. max-pool: the bytes", result, half), grid("11. what they stand for", back, half, "{:.4f}");
  Context context(kernels::plan(q, {}), threads);
  Tensor check(DType::f32, Shape{1, 1, half, half});
  context.run(Tensor::of<float>({1, 1, side, side}, image), check);
  fmt::print("12. the library {}\n", std::ranges::equal(back, check.span<float>()) ? "agrees" : "DISAGREES");
}

}  // namespace

int main(int argc, char** argv) {
  examples::Lesson lesson("08_one_layer", "Convolution, batch-norm, ReLU and max-pool from floats to bytes");
  lesson.option("--image", image, "a square of N x N reals, N even and at least 4");
  lesson.option("--weights", weights, "3 x 3");
  lesson.option("--norm", norm, "the convolution's bias; gamma, beta, mean and variance");
  return lesson.run(argc, argv, [&] {
    side = static_cast<int>(std::lround(std::sqrt(image.size())));
    require(side >= 4 && side % 2 == 0 && static_cast<std::size_t>(side * side) == image.size(),
            "--image: {} numbers; N * N for an even N from 4 on were expected", image.size());
    require(weights.size() == 9 && norm.size() == 5 && norm[4] >= 0,
            "--weights takes 9 numbers, --norm 5, the last >= 0");
    walk();
  });
}
