// Operations of a user's own within networks (runtime/custom_op.h): calibrated, planned, left in float where they have
// no integers, refused where code cannot go. The example in examples/custom_op checks its own arithmetic.
#include "runtime/custom_op.h"

#include <doctest/doctest.h>

#include "calib/calibrate.h"
#include "calib/quantise.h"
#include "kernels/plan/plan.h"
#include "runtime/arithmetic.h"
#include "runtime/error.h"
#include "runtime/io/octet_file.h"
#include "runtime/onnx/export.h"
#include "tests/program.h"

using namespace octet;

namespace {

// Each row of the output is the row of the input, mirrored; of bytes as of floats, if it may be.
class Mirror final : public CustomOp {
 public:
  explicit Mirror(bool integers) : integers_(integers) {}
  std::string name() const override { return "mirror"; }
  Shape infer_shape(std::span<const Shape> inputs) const override {
    require(inputs.size() == 1 && inputs[0].rank() == 3, "one [channels, height, width] input was expected");
    return inputs[0];
  }
  Row real() const override {
    return [](std::span<const View> in, const View& out, std::int64_t n, std::int64_t y) {
      for (int x = 0; x < out.w; ++x) {
        for (int c = 0; c < out.c; ++c) *out.at<float>(n, y, x, c) = *in[0].at<float>(n, y, out.w - 1 - x, c);
      }
    };
  }
  Row integer(std::span<const QuantParams> in, const QuantParams& o) const override {
    if (!integers_) return nullptr;
    return [from = in[0], o](std::span<const View> views, const View& out, std::int64_t n, std::int64_t y) {
      for (int x = 0; x < out.w; ++x) {
        for (int c = 0; c < out.c; ++c) {
          const std::int32_t q = integer_at(views[0], n, y, out.w - 1 - x, c);
          put_integer(out, n, y, x, c, arithmetic::quantise(arithmetic::dequantise(q, from.step, from.zero), o));
        }
      }
    };
  }

 private:
  bool integers_;
};

Graph network(bool integers, bool padded = false) {
  Graph g("mirrored");
  const EdgeId image = g.observe(g.input("input", Shape{2, 6, 5}), "input");
  const EdgeId mirrored = g.observe(g.custom("mirror", std::make_shared<Mirror>(integers), {image}), "mirrored");
  const int pad = padded ? 1 : 0;  // a border around what the operation writes
  g.set_output(g.conv2d("conv", mirrored, 3, {.window = Window::square(3, 1, pad)}));
  g.seed_weights(1);
  return g;
}

// x + y, of inputs that share a quantiser or have one each.
class Sum final : public CustomOp {
 public:
  explicit Sum(bool share) : share_(share) {}
  std::string name() const override { return "sum"; }
  Shape infer_shape(std::span<const Shape> inputs) const override { return inputs[0]; }
  bool shares_input_range() const override { return share_; }
  Row real() const override {
    return [](std::span<const View> in, const View& out, std::int64_t n, std::int64_t y) {
      for (int x = 0; x < out.w; ++x) {
        for (int c = 0; c < out.c; ++c)
          *out.at<float>(n, y, x, c) = *in[0].at<float>(n, y, x, c) + *in[1].at<float>(n, y, x, c);
      }
    };
  }
  Row integer(std::span<const QuantParams>, const QuantParams&) const override { return nullptr; }

 private:
  bool share_;
};

// The sum of an image and of itself through a convolution that makes it larger.
Graph network_of_sum(bool share) {
  Graph g("sum");
  const EdgeId image = g.observe(g.input("input", Shape{2, 6, 5}), "input");
  const EdgeId large = g.observe(g.conv2d("conv", image, 2, {.window = Window::square(3, 1, 1)}), "large");
  g.set_output(g.custom("sum", std::make_shared<Sum>(share), {large, image}));
  g.seed_weights(1);
  for (Parameter& p : g.node(0).parameters) {
    for (float& w : p.value.span<float>()) w *= 8;
  }
  return g;
}

Tensor batch_of(int n) {
  Tensor batch(DType::f32, Shape{n, 2, 6, 5});
  for (std::size_t i = 0; i < batch.span<float>().size(); ++i) {
    batch.span<float>()[i] = static_cast<float>(static_cast<int>(i * 37 % 101) - 50) / 25.0f;
  }
  return batch;
}

calib::Ranges ranges_of(const Graph& graph) {
  ThreadPool pool(1);
  calib::Calibrator calibrator(graph, {.batch = 2}, pool);
  calibrator.observe(batch_of(2));
  return calibrator.ranges();
}

std::vector<float> run(const QGraph& network, int threads) {
  const auto program = kernels::plan(network, {.batch = 2});
  ThreadPool pool(threads);
  Context context(program, pool);
  const Shape& shape = network.edges[static_cast<std::size_t>(network.output)].shape;
  Tensor output(DType::f32, Shape{2, shape[0], shape[1], shape[2]});
  context.run(batch_of(2), output);
  return {output.span<float>().begin(), output.span<float>().end()};
}

const QNode& node_of(const QGraph& graph, std::string_view name) {
  return *std::ranges::find(graph.nodes, name, &QNode::name);
}

}  // namespace

TEST_CASE("integers where it has them, float and why where it has not; a border and threads change nothing") {
  for (const bool padded : {false, true}) {
    CAPTURE(padded);
    const Graph with = network(true, padded), without = network(false, padded);
    const QGraph integer = calib::quantise(with, ranges_of(with)), real = calib::quantise(without, ranges_of(without));
    CHECK(node_of(integer, "mirror").precision == Precision::int8);
    CHECK(node_of(real, "mirror").precision == Precision::fp32);
    CHECK(node_of(real, "mirror").why == "mirror has no integer form here");
    CHECK(node_of(real, "conv").precision == Precision::int8);
    CHECK(run(integer, 1) == run(integer, 3));
    CHECK(run(real, 1) == run(real, 3));

    const std::vector<float> expected = run(calib::as_float(with), 1), got = run(integer, 1);
    float worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(got[i] - expected[i]));
    CHECK(worst > 0);
    CHECK(worst < 0.1f);  // 18 products of steps of 1 / 64 and weights below 1
  }
}

TEST_CASE("--ignore, only and the list of layers know it by its name") {
  const Graph graph = network(true);
  const QGraph left = calib::quantise(graph, ranges_of(graph), {.ignore = {"mirror"}});
  CHECK(node_of(left, "mirror").precision == Precision::fp32);
  CHECK(std::ranges::count(calib::quantisable_layers(graph), "mirror") == 1);
}

TEST_CASE("inputs that do not fit, and files, which cannot hold code") {
  Graph g("bad");
  const EdgeId image = g.input("input", Shape{2, 6, 5});
  CHECK_THROWS_WITH_AS(g.custom("here", std::make_shared<Mirror>(true), {image, image}),
                       "here (mirror): one [channels, height, width] input was expected", Error);
  CHECK_THROWS_WITH_AS(g.custom("here", nullptr, {image}), doctest::Contains("without its code"), Error);

  const Graph graph = network(true);
  const QGraph quantised = calib::quantise(graph, ranges_of(graph));
  const testing::TempFolder folder;
  CHECK_THROWS_WITH_AS(save_octet_file(quantised, folder.path() / "m.octet"), doctest::Contains("mirror: a custom"),
                       Error);
  CHECK_FALSE(testing::fs::exists(folder.path() / "m.octet"));
#ifdef OCTET_WITH_ONNX
  CHECK_THROWS_WITH_AS(onnx::export_model(quantised, {}), doctest::Contains("mirror: custom has no ONNX form"), Error);
#endif
}

TEST_CASE("the example: three inputs with one range or their own, exact against its own reference") {
  const testing::Result result = testing::run_program({testing::program_path("custom_op")});
  CAPTURE(result.err);
  CHECK(result.status == 0);
  CHECK(result.out.find("shared") < result.out.find("separate"));
  CHECK(result.out.find("custom_s8_reference (int8)") != std::string::npos);
}

TEST_CASE("inputs of an operation that asks for it share one range, that of both; else each has its own") {
  const calib::Ranges own = ranges_of(network_of_sum(false)), shared = ranges_of(network_of_sum(true));
  CHECK(own.find("large")->amax > 2 * own.find("input")->amax);
  CHECK(shared.find("large")->quant.step == own.find("large")->quant.step);
  CHECK(shared.find("input")->quant.step == own.find("large")->quant.step);
  CHECK(own.find("input")->quant.step < own.find("large")->quant.step / 2);
}
