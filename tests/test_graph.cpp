// Graph and QGraph: shapes as PyTorch infers them, and everything that a file could lie about refused by name before a
// kernel could read or write out of bounds.
#include <doctest/doctest.h>

#include <functional>
#include <limits>

#include "runtime/state_dict.h"
#include "tests/program_graphs.h"

using namespace octet;
using namespace octet::test;

namespace {

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "(no error)";
}

// The error of adding one layer to an image of the given shape; it must name the layer, "bad".
void refuses(const Shape& shape, const std::function<void(Graph&, EdgeId)>& add) {
  Graph g("graph");
  const EdgeId x = g.input("image", shape);
  const std::string message = message_of([&] { add(g, x); });
  CHECK_MESSAGE(message.find("bad") != std::string::npos, message);
  CHECK(g.nodes().empty());  // nothing was half made
}

Graph loadable() {
  Graph g("loadable");
  EdgeId x = g.input("image", Shape{2, 4, 4});
  x = g.batch_norm("bn", g.conv2d("conv", x, 3, conv(3)));
  g.set_output(g.linear("fc", g.flatten("flatten", x), 2));
  return g;
}
StateDict weights_of(const Graph& g) {
  StateDict dict;
  for (const Node& n : g.nodes()) {
    for (const Parameter& p : n.parameters) {
      Tensor t(DType::f32, p.shape);
      for (float& v : t.span<float>()) v = 0.5f;
      dict.insert(n.name + "." + p.key, t);
    }
  }
  return dict;
}

}  // namespace

TEST_CASE("window sizes are PyTorch's") {
  const struct {
    int input, kernel, stride, before, after, dilation;
    bool ceil;
    int wanted;
  } cases[] = {{224, 5, 1, 0, 0, 1, false, 220}, {51, 2, 2, 0, 0, 1, false, 25}, {51, 2, 2, 0, 0, 1, true, 26},
               {7, 3, 2, 1, 1, 1, false, 4},     {8, 3, 2, 1, 1, 1, false, 4},   {8, 3, 2, 1, 1, 1, true, 5},
               {6, 3, 3, 1, 1, 1, true, 3},      {5, 3, 3, 1, 1, 1, true, 2},  // would start in the trailing padding
               {1, 3, 1, 1, 1, 1, false, 1},     {4, 5, 1, 0, 0, 1, false, 0},   {10, 3, 1, 0, 0, 3, false, 4},
               {10, 3, 2, 2, 1, 3, false, 4},    {2, 2, 1, 0, 1, 1, false, 2},   {112, 3, 2, 0, 1, 1, false, 56}};
  for (const auto& c : cases) {
    CHECK_MESSAGE(window_output(c.input, c.kernel, c.stride, c.before, c.after, c.dilation, c.ceil) == c.wanted,
                  c.input << " k" << c.kernel << " s" << c.stride);
  }
}

TEST_CASE("layers that do not fit are refused by name") {
  const Shape image{4, 5, 5};
  using Window4 = ConvOptions;
  refuses(image, [](Graph& g, EdgeId x) { g.conv2d("bad", x, 4, conv(6)); });
  refuses(image, [](Graph& g, EdgeId x) { g.conv2d("bad", x, 4, conv(1, 1, 0, 3)); });
  refuses(image, [](Graph& g, EdgeId x) { g.conv2d("bad", x, 3, conv(1, 1, 0, 2)); });
  refuses(image, [](Graph& g, EdgeId x) { g.conv2d("bad", x, 4, conv(1, 1, 0, 0)); });
  refuses(image, [](Graph& g, EdgeId x) { g.conv2d("bad", x, 0, conv(1)); });
  refuses(image, [](Graph& g, EdgeId x) { g.conv2d("bad", x, 4, conv(3, 0)); });
  refuses(image, [](Graph& g, EdgeId x) { g.conv2d("bad", x, 4, conv(3, 1, -1)); });
  refuses(image, [](Graph& g, EdgeId x) { g.conv2d("bad", x, 4, Window4{Window::square(3, 1, 0, 0)}); });
  refuses(image, [](Graph& g, EdgeId x) { g.conv2d("bad", x, 4, conv(1, 1, 40000)); });
  refuses(image, [](Graph& g, EdgeId x) { g.linear("bad", x, 4); });
  refuses(image, [](Graph& g, EdgeId x) { g.max_pool("bad", x, Window::square(2, 2, 2)); });  // all padding
  refuses(image, [](Graph& g, EdgeId x) { g.avg_pool("bad", x, Window::square(2, 1, 0, 2)); });
  refuses(image, [](Graph& g, EdgeId x) { g.add("bad", {x}); });
  refuses(image, [](Graph& g, EdgeId x) { g.add("bad", {x, 7}); });
  refuses(image, [](Graph& g, EdgeId) { g.add("bad", {}); });
  refuses(Shape{8}, [](Graph& g, EdgeId x) { g.concat("bad", {x, x}); });
  refuses(Shape{8}, [](Graph& g, EdgeId x) { g.conv2d("bad", x, 4, conv(1)); });
  refuses(Shape{8}, [](Graph& g, EdgeId x) { g.max_pool("bad", x, Window::square(1)); });
  refuses(Shape{8}, [](Graph& g, EdgeId x) { g.global_avg_pool("bad", x); });
  refuses(Shape{8}, [](Graph& g, EdgeId x) { g.linear("bad", x, 0); });
  // A dilated window may step over a small input from one padding into the other.
  refuses(Shape{1, 1, 5}, [](Graph& g, EdgeId x) { g.max_pool("bad", x, {2, 1, 1, 1, 1, 0, 1, 0, 2, 1}); });
  refuses(Shape{1, 5, 2}, [](Graph& g, EdgeId x) { g.max_pool("bad", x, {1, 2, 1, 1, 0, 1, 0, 2, 1, 3}); });
  Graph fine("fine");
  CHECK_NOTHROW(fine.max_pool("p", fine.input("x", Shape{1, 2, 2}), {2, 2, 1, 1, 1, 1, 1, 1, 2, 2}));
  // Names and structure.
  Graph g("graph");
  const EdgeId x = g.input("image", image);
  g.relu("r", x);
  CHECK(message_of([&] { g.relu("r", x); }).find("'r'") != std::string::npos);
  CHECK(message_of([&] { g.relu("image", x); }).find("image") != std::string::npos);
  CHECK_THROWS_AS(g.relu("", x), Error);
  CHECK_THROWS_AS(g.input("second", image), Error);
  CHECK_THROWS_AS(g.set_output(9), Error);
  g.observe(x, "seen");
  CHECK_THROWS_AS(g.observe(x, "again"), Error);
  CHECK_THROWS_AS(g.observe(1, "seen"), Error);
  CHECK(message_of([&] { g.validate(); }).find("no output") != std::string::npos);
  g.set_output(g.relu("q", x));
  CHECK(message_of([&] { g.validate(); }).find("r: ") != std::string::npos);  // r is used by nobody
  CHECK_THROWS_AS(Graph("none").validate(), Error);
}

TEST_CASE("loading: extra keys are reported, everything else that is wrong is an error with the key") {
  Graph g = loadable();
  CHECK_THROWS_AS(g.validate(), Error);  // nothing loaded yet
  StateDict good = weights_of(g);
  CHECK(g.load(good).empty());
  CHECK_NOTHROW(g.validate());
  CHECK(g.parameter_count() == 3 * 2 * 9 + 3 + 3 + 3 + 2 * 12 + 2);
  good.insert("bn.num_batches_tracked", Tensor(DType::s64, Shape{}));
  good.insert("other.weight", Tensor(DType::f32, Shape{1}));
  CHECK(g.load(good) == std::vector<std::string>{"other.weight"});
  for (const char* missing : {"conv.weight", "bn.running_var", "fc.bias"}) {
    StateDict part;
    for (const auto& [key, tensor] : good) {
      if (key != missing) part.insert(key, tensor);
    }
    CHECK(message_of([&] { g.load(part); }).find(missing) != std::string::npos);
  }
  const auto with = [&](const std::string& name, Tensor value) {
    StateDict changed;
    for (const auto& [key, tensor] : good) changed.insert(key, key == name ? value : tensor);
    return message_of([&] { loadable().load(changed); });
  };
  CHECK(with("fc.weight", Tensor(DType::f32, Shape{12, 2})).find("fc.weight") != std::string::npos);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    CHECK(with("fc.bias", Tensor::of<float>(Shape{2}, std::vector<float>{1, bad})).find("fc.bias") !=
          std::string::npos);
  }
  CHECK(with("bn.running_var", Tensor::of<float>(Shape{3}, std::vector<float>{1, -1, 1})).find("bn.running_var") !=
        std::string::npos);
  CHECK(with("fc.bias", Tensor::of<double>(Shape{2}, std::vector<double>{1, 2})) == "(no error)");  // converted
}

TEST_CASE("a quantised graph that lies is refused before a kernel sees it") {
  const QGraph good = quantised(chain(), calib::Scheme::affine).graph;
  CHECK_NOTHROW(good.validate());
  int refused = 0;
  const auto lie = [&](const std::function<void(QGraph&)>& change) {
    QGraph bad = good;
    for (QNode& n : bad.nodes) n.weight = n.weight.clone();
    change(bad);
    CHECK_THROWS_AS(bad.validate(), Error);
    CHECK_THROWS_AS(kernels::plan(bad, {}), Error);
    ++refused;
  };
  const auto node = [](QGraph& g, const char* name) -> QNode& {
    return *std::ranges::find(g.nodes, name, &QNode::name);
  };
  const auto out = [&](QGraph& g, const char* name) -> QEdge& {
    return g.edges[static_cast<std::size_t>(node(g, name).output)];
  };
  lie([&](QGraph& g) { g.input = 99; });
  lie([&](QGraph& g) { g.output = -1; });
  lie([&](QGraph& g) { g.edges[static_cast<std::size_t>(g.input)].quantised = true; });
  lie([&](QGraph& g) { g.output = node(g, "conv2").output; });
  lie([&](QGraph& g) { g.edges[static_cast<std::size_t>(g.input)].shape = Shape{3, 17, 14}; });
  lie([&](QGraph& g) { g.edges[static_cast<std::size_t>(g.input)].shape = Shape{3, 221}; });
  lie([&](QGraph& g) { node(g, "conv1").inputs = {99}; });
  lie([&](QGraph& g) { node(g, "conv1").inputs = {}; });
  lie([&](QGraph& g) { node(g, "conv1").inputs = {node(g, "conv3").output}; });  // made later
  lie([&](QGraph& g) { node(g, "conv2").output = node(g, "conv1").output; });    // made twice
  lie([&](QGraph& g) { node(g, "conv1").weight = {}; });
  lie([&](QGraph& g) { node(g, "conv1").weight = Tensor(DType::f32, node(g, "conv1").weight.shape()); });
  lie([&](QGraph& g) { node(g, "conv1").weight = Tensor(DType::s8, Shape{10, 3, 3}); });
  lie([&](QGraph& g) { node(g, "conv1").weight = Tensor(DType::s8, Shape{10, 3, 2, 3}); });
  lie([&](QGraph& g) { node(g, "conv1").weight.span<std::int8_t>()[4] = -128; });
  lie([&](QGraph& g) { node(g, "conv1").bias_q.pop_back(); });
  lie([&](QGraph& g) { node(g, "conv1").bias_q[0] = std::numeric_limits<std::int32_t>::max(); });
  lie([&](QGraph& g) { node(g, "conv1").weight_step.pop_back(); });
  lie([&](QGraph& g) { node(g, "conv1").weight_step[3] = 0; });
  lie([&](QGraph& g) { node(g, "conv1").weight_step[3] = std::numeric_limits<float>::quiet_NaN(); });
  lie([&](QGraph& g) { node(g, "conv2").groups = 3; });
  lie([&](QGraph& g) { node(g, "conv2").window.pad_left = -1; });
  lie([&](QGraph& g) { node(g, "conv2").window.stride_h = 0; });
  lie([&](QGraph& g) { node(g, "conv2").window.stride_h = 2; });  // the edge says another size
  lie([&](QGraph& g) { node(g, "pool1").window.pad_top = 2; });
  lie([&](QGraph& g) { node(g, "pool2").window.dilation_h = 2; });
  lie([&](QGraph& g) { node(g, "conv1").precision = Precision::fp32; });
  lie([&](QGraph& g) { node(g, "pool1").precision = Precision::fp32; });
  for (const char* edge : {"conv1", "fc1"}) {
    lie([&](QGraph& g) { out(g, edge).quantised = false; });
    lie([&](QGraph& g) { out(g, edge).quant.step = 0; });
    lie([&](QGraph& g) { out(g, edge).quant.step = -1; });
    lie([&](QGraph& g) { out(g, edge).quant.step = std::numeric_limits<float>::infinity(); });
    lie([&](QGraph& g) { out(g, edge).quant.step = std::numeric_limits<float>::denorm_min(); });
    lie([&](QGraph& g) { out(g, edge).quant.zero = 256; });
    lie([&](QGraph& g) { out(g, edge).quant.lo = -1; });
    lie([&](QGraph& g) { out(g, edge).quant.hi = 300; });
    lie([&](QGraph& g) { out(g, edge).quant.lo = out(g, edge).quant.hi; });
  }
  lie([&](QGraph& g) { out(g, "pool1").quant.step *= 2; });  // a max-pool cannot change the step
  lie([&](QGraph& g) { out(g, "flatten").shape = Shape{1}; });
  CHECK(refused > 45);

  // A batch-norm by itself, in float, whose shift is missing or short.
  Graph lone("lone");
  lone.set_output(lone.batch_norm("bn", lone.input("image", Shape{3, 2, 2})));
  Random random(1);
  randomise_weights(lone, random);
  const QGraph real = calib::as_float(lone);
  CHECK_NOTHROW(real.validate());
  for (const Tensor& shift : {Tensor(), Tensor(DType::f32, Shape{2}), Tensor(DType::s8, Shape{3})}) {
    QGraph bad = real;
    bad.nodes[0].bias = shift;
    CHECK_THROWS_AS(bad.validate(), Error);
  }
  QGraph bad = real;
  bad.nodes[0].weight = Tensor(DType::s8, Shape{3});
  CHECK_THROWS_AS(bad.validate(), Error);
}

TEST_CASE("shapes and tensors refuse what they cannot be") {
  CHECK_THROWS_AS((Shape{-1}), Error);
  CHECK_THROWS_AS((Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), Error);
  CHECK_THROWS_AS((Shape{std::int64_t{1} << 40, std::int64_t{1} << 40}), Error);
  CHECK_THROWS_AS((Shape{0, std::int64_t{1} << 62, 4}), Error);
  CHECK((Shape{2, 0, 3}).elements() == 0);
  CHECK(Shape{}.elements() == 1);
  CHECK((Shape{3, 224, 224}).str() == "3x224x224");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)          // which end the program instead
  CHECK_THROWS_AS(Tensor(DType::f64, Shape{std::int64_t{1} << 45}), Error);  // 2^48 bytes
#endif
  const Tensor t(DType::f32, Shape{2, 3});
  CHECK(reinterpret_cast<std::uintptr_t>(t.raw()) % Tensor::kAlignment == 0);
  CHECK_THROWS_AS(t.span<std::int8_t>(), Error);
  CHECK_THROWS_AS(t.reshaped(Shape{7}), Error);
  CHECK(t.reshaped(Shape{6}).raw() == t.raw());
  CHECK(t.clone().raw() != t.raw());
}
