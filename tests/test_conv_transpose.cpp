// Transposed convolutions: by hand, in PyTorch's layout, in phases on the fast kernels and by the reference.
#include <doctest/doctest.h>

#include "runtime/state_dict.h"
#include "tests/program_oracle.h"
#include "tests/random_graph.h"

using namespace octet;
using namespace octet::test;

namespace {

// One transposed convolution of one channel over `in`, in float.
std::vector<float> up(const Window& window, const std::vector<float>& kernel, const std::vector<float>& in,
                      Shape shape) {
  Graph graph("up");
  graph.set_output(graph.conv_transpose2d("up", graph.input("x", shape), 1, {.window = window, .bias = false}));
  StateDict weights;
  weights.insert("up.weight",
                 Tensor::of<float>(Shape{1, 1, window.kernel_h, window.kernel_w}, std::span<const float>(kernel)));
  REQUIRE(graph.load(weights).empty());
  ThreadPool pool(1);
  const Tensor input = Tensor::of<float>(with_batch(1, shape), std::span<const float>(in));
  const Run run = run_once(calib::as_float(graph), {}, input, pool);
  const auto values = run.output.span<float>();
  return {values.begin(), values.end()};
}

// Two branches of one resolution, one of them through a transposed convolution, side by side: CenterPoint's neck.
Graph neck(const Window& window, int groups) {
  Graph g("neck");
  const EdgeId x = g.observe(g.input("x", Shape{16, 8, 10}), "x");
  const EdgeId down = g.observe(g.conv2d("down", x, 24, {Window::square(3, 2, 1)}), "down");
  const EdgeId up = g.conv_transpose2d("up", down, 32, {window, groups, false});
  const EdgeId a = g.observe(g.relu("up.relu", g.batch_norm("up.bn", up, 1e-3f)), "a");
  const EdgeId b = g.observe(g.conv2d("side", x, 32, {Window::square(1)}), "b");
  const EdgeId joint = g.observe(g.concat("cat", {b, a}), "joint");
  g.set_output(g.conv2d("head", joint, 5, {Window::square(3, 1, 1)}));
  return g;
}

bool any_step(const Program& program, std::string_view name, std::string_view variant) {
  return std::ranges::any_of(program.steps, [&](const Step& s) {
    return s.name.starts_with(name) && s.variant.find(variant) != std::string::npos;
  });
}

}  // namespace

TEST_CASE("a transposed convolution by hand") {
  // Kernel = stride: each input becomes its multiple of the kernel.
  CHECK(up(Window::square(2, 2), {1, 2, 3, 4}, {1, 10}, Shape{1, 1, 2}) ==
        std::vector<float>{1, 2, 10, 20, 3, 4, 30, 40});
  // A larger kernel than the stride overlaps: x = (1, 10, 100), w = (1, 2, 3), stride 2.
  const Window wide{.kernel_w = 3, .stride_w = 2};
  CHECK(up(wide, {1, 2, 3}, {1, 10, 100}, Shape{1, 1, 3}) == std::vector<float>{1, 2, 13, 20, 130, 200, 300});
  // Padding cuts the ends; an output padding puts one back at the far one.
  Window cut = wide;
  cut.pad_left = cut.pad_right = 1;
  CHECK(up(cut, {1, 2, 3}, {1, 10, 100}, Shape{1, 1, 3}) == std::vector<float>{2, 13, 20, 130, 200});
  cut.pad_right = 0;
  CHECK(up(cut, {1, 2, 3}, {1, 10, 100}, Shape{1, 1, 3}) == std::vector<float>{2, 13, 20, 130, 200, 300});
  // A stride beyond the kernel leaves zeros, an output padding too; dilation spreads the taps.
  CHECK(up({.kernel_w = 1, .stride_w = 3, .pad_right = -1}, {5}, {1, 2}, Shape{1, 1, 2}) ==
        std::vector<float>{5, 0, 0, 10, 0});
  CHECK(up({.kernel_w = 2, .dilation_w = 2}, {1, 2}, {1, 10}, Shape{1, 1, 2}) == std::vector<float>{1, 10, 2, 20});
}

TEST_CASE("PyTorch's weights [in, out / groups, kh, kw] are turned round, group by group") {
  // 4 inputs, 6 outputs, 2 groups: w[i][o] = 10 i + o.
  Tensor file(DType::f32, Shape{4, 3, 1, 1});
  for (int i = 0; i < 4; ++i) {
    for (int o = 0; o < 3; ++o)
      file.span<float>()[static_cast<std::size_t>(3 * i + o)] = static_cast<float>(10 * i + o);
  }
  const Tensor turned = channels_turned(file, 2);
  CHECK(turned.shape() == Shape{6, 2, 1, 1});
  const auto values = turned.span<float>();
  CHECK(std::vector<float>(values.begin(), values.end()) ==
        std::vector<float>{0, 10, 1, 11, 2, 12, 20, 30, 21, 31, 22, 32});
  const Tensor back = channels_turned(turned, 2);
  CHECK(back.shape() == file.shape());
  CHECK(std::ranges::equal(back.span<float>(), file.span<float>()));
  CHECK_THROWS_WITH_AS(channels_turned(file, 3), doctest::Contains("cannot be turned"), Error);

  Graph graph("up");
  graph.set_output(graph.conv_transpose2d("up", graph.input("x", Shape{4, 2, 2}), 6, {Window::square(1), 2, false}));
  StateDict weights;
  weights.insert("up.weight", turned);
  CHECK_THROWS_WITH_AS(graph.load(weights), doctest::Contains("'up.weight' has the shape 6x2x1x1, up expects 4x3x1x1"),
                       Error);
}

TEST_CASE("geometry that is none is refused") {
  Graph graph("up");
  const EdgeId x = graph.input("x", Shape{4, 3, 3});
  const auto refuses = [&](const Window& w, const char* words) {
    CHECK_THROWS_WITH_AS(graph.conv_transpose2d("up", x, 4, {w}), doctest::Contains(words), Error);
  };
  refuses({.kernel_h = 2, .stride_h = 2, .pad_bottom = -2}, "output padding");
  refuses({.kernel_h = 1, .pad_top = 3}, "an output of 0x3");
  refuses({.stride_h = 0}, "must be positive");
  refuses({.pad_left = -1}, "not negative");
  refuses({.stride_h = 32767, .pad_bottom = 0, .dilation_h = 40000}, "at most 32767");
  CHECK_THROWS_WITH_AS(graph.conv_transpose2d("up", x, 4, {.groups = 3}), doctest::Contains("3 groups"), Error);
}

TEST_CASE("phases on the fast kernels: the interpreter's bytes, written where the concat wants them") {
  struct {
    Window window;
    int groups;
  } const cases[] = {{Window::square(2, 2), 1},
                     {Window::square(4, 2, 1), 1},
                     {{3, 3, 2, 2, 1, 1, 0, 0}, 4},
                     {{2, 4, 2, 2, 0, 1, 0, 1}, 1}};
  Random random(7);
  ThreadPool pool(2);
  for (const auto& test : cases) {
    Graph graph = neck(test.window, test.groups);
    randomise_weights(graph, random, 0);
    const Tensor input = random.tensor(Shape{2, 16, 8, 10}, 2.0);
    calib::Ranges ranges = ranges_for(graph, input, calib::Scheme::affine);
    const auto joint = *ranges.find("joint");
    for (calib::EdgeRange& e : ranges.edges) {  // one range for both branches, so that the concat moves no byte
      if (e.observer == "a" || e.observer == "b") e.quant = joint.quant;
    }
    const QGraph q = calib::quantise(graph, ranges);
    for (const kernels::Isa isa : kernels::available_isas()) {
      const auto program = kernels::plan(q, {.batch = 2, .isa = isa});
      Context context(program, pool);
      const Run run = run_once(context, *program, input);
      const Verdict verdict = compare(q, reals_of(input), run, 2, nullptr);
      CHECK_MESSAGE(verdict.error.empty(), kernels::name_of(isa) << ": " << verdict.error);
      const bool reference = isa == kernels::Isa::reference;
      CHECK(any_step(*program, "up", "conv_transpose2d_s8_reference") == reference);
      CHECK(any_step(*program, "up[1,1]", "conv2d_s8") == !reference);
      CHECK_FALSE(any_step(*program, "cat[", ""));
      std::int64_t macs = 0;
      for (const Step& step : program->steps) macs += step.name.starts_with("up") ? step.macs : 0;
      CHECK(macs >= 4 * 5 * 24 / test.groups * 32);
    }
  }
}

TEST_CASE("what no phase can do goes to the reference, on every instruction set") {
  for (const Window& window :
       {Window{.kernel_h = 2, .kernel_w = 2, .dilation_h = 2, .dilation_w = 2},
        Window{.kernel_h = 1, .kernel_w = 1, .stride_h = 2, .stride_w = 2}, Window{2, 2, 2, 2, 1, 1, 1, 1}}) {
    Graph graph("odd");
    graph.set_output(graph.conv_transpose2d("up", graph.input("x", Shape{3, 4, 4}), 5, {window}));
    graph.seed_weights(3);
    const auto program = kernels::plan(calib::as_float(graph), {});
    CHECK(program->steps.size() == 3);
    CHECK(any_step(*program, "up", "conv_transpose2d_f32_reference"));
  }
}
