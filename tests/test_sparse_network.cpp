// Sparse networks from Graph to bytes: a small U-Net with residual sums, a skip connection and inverse convolutions,
// and an encoder shaped like CenterPoint's, against the dense oracle, on every instruction set, with 1, 2 and 3
// threads.
#include <doctest/doctest.h>

#include "calib/calibrate.h"
#include "calib/quantise.h"
#include "kernels/plan/plan.h"
#include "runtime/io/octet_file.h"
#include "tests/sparse_oracle.h"

using namespace octet;
using namespace octet::test;

namespace {

struct Norms {  // convolution, batch-norm, ReLU; observed behind
  Graph& g;
  EdgeId operator()(EdgeId conv) const {
    const std::string name = g.edges()[static_cast<std::size_t>(conv)].name;
    return g.observe(g.relu(name + ".relu", g.batch_norm(name + ".bn", conv, 1e-3f)), name + ".out");
  }
};

EdgeId block(Graph& g, const std::string& name, EdgeId x, int channels) {  // a residual block
  const SparseConvOptions same{.submanifold = true};
  const EdgeId a = Norms{g}(g.sparse_conv(name + ".conv1", x, channels, same));
  const EdgeId b = g.batch_norm(name + ".bn2", g.sparse_conv(name + ".conv2", a, channels, same));
  const EdgeId sum = g.add(name + ".add", {g.observe(b, name + ".conv2.out"), x});
  return g.observe(g.relu(name + ".relu", sum), name + ".out");
}

// Odd channels everywhere; `flat`: a 2D grid.
Graph unet(bool flat) {
  const SparseGrid grid{flat ? 1 : 6, 11, 13};
  const int k = flat ? 1 : 3;
  Graph g("unet");
  EdgeId x = g.observe(g.sparse_input("points", 5, grid), "points");
  x = Norms{g}(g.sparse_conv("stem", x, 9, {.kernel = {k, 3, 3}, .submanifold = true, .bias = false}));
  const EdgeId fine = block(g, "block1", x, 9);
  x = Norms{g}(
      g.sparse_conv("down1", fine, 20,
                    {.kernel = {k, 3, 3}, .stride = {k == 1 ? 1 : 2, 2, 2}, .padding = {k / 2, 1, 1}, .bias = false}));
  const EdgeId middle = block(g, "block2", x, 20);
  x = Norms{g}(
      g.sparse_conv("down2", middle, 37, {.kernel = {k == 1 ? 1 : 2, 2, 2}, .stride = {k == 1 ? 1 : 2, 2, 2}}));
  x = Norms{g}(g.inverse_sparse_conv("up2", x, 20, "down2"));
  x = g.observe(g.concat("skip", {x, middle}), "skip.out");
  x = Norms{g}(g.inverse_sparse_conv("up1", x, 9, "down1", false));
  x = g.observe(g.add("last", {x, fine}), "last.out");
  x = Norms{g}(g.sparse_conv("wide", x, 33, {.kernel = {1, 3, 3}, .dilation = {1, 2, 1}, .submanifold = true}));
  g.set_output(g.to_dense("bev", x));
  return g;
}

Graph encoder() {
  Graph g("encoder");
  EdgeId x = g.observe(g.sparse_input("points", 5, {9, 12, 10}), "points");
  x = Norms{g}(g.sparse_conv("conv_input", x, 16, {.submanifold = true, .bias = false}));
  x = block(g, "conv1", x, 16);
  x = Norms{g}(g.sparse_conv("conv2", x, 32, {.stride = {2, 2, 2}, .padding = {1, 1, 1}, .bias = false}));
  x = block(g, "conv2.block", x, 32);
  x = Norms{g}(g.sparse_conv("conv4", x, 64, {.stride = {2, 2, 2}, .padding = {0, 1, 1}, .bias = false}));
  x = block(g, "conv4.block", x, 64);
  x = Norms{g}(g.sparse_conv("extra", x, 128, {.kernel = {2, 1, 1}, .stride = {2, 1, 1}, .bias = false}));
  g.set_output(g.to_dense("bev", x));
  return g;
}

struct Made {
  Graph graph;
  QGraph integer;
  std::vector<SparseTensor> frames;  // of a batch of two each; one without sites, one with few, one that is crowded
};

Made make(Graph graph, calib::Scheme scheme, bool share, std::uint64_t seed) {
  Random random(seed);
  randomise_weights(graph, random, 0.0);
  const Shape in = graph.edges()[0].shape;
  Made made{std::move(graph), {}, {}};
  for (const double share_of_cells : {0.15, 0.0, 0.01, 0.35}) {
    made.frames.push_back(random_sparse(random, grid_of(in), 2, static_cast<int>(in[0]), share_of_cells));
  }
  calib::CalibrationOptions options;
  options.range.scheme = scheme, options.share_add_range = share, options.batch = 2;
  ThreadPool pool(1);
  calib::Calibrator calibrator(made.graph, options, pool);
  for (const SparseTensor& frame : made.frames) calibrator.observe(frame);
  const calib::Ranges ranges = calib::ranges_from_json(calib::to_json(calibrator.ranges()), "ranges");
  made.integer = calib::quantise(made.graph, ranges);
  return made;
}

using Edges = std::map<EdgeId, std::vector<float>>;  // row by row; dense edges in (n, y, x, c) order

std::vector<float> values_of(const View& v) {
  std::vector<float> values;
  for (std::int64_t n = 0; n < v.n; ++n) {
    for (std::int64_t y = 0; y < v.h; ++y) {
      for (std::int64_t x = 0; x < v.w; ++x) {
        for (std::int64_t c = 0; c < v.c; ++c) {
          if (v.type == DType::f32) values.push_back(*v.at<float>(n, y, x, c));
          if (v.type == DType::u8) values.push_back(*v.at<std::uint8_t>(n, y, x, c));
          if (v.type == DType::s8) values.push_back(*v.at<std::int8_t>(n, y, x, c));
          if (v.type == DType::s16) values.push_back(*v.at<std::int16_t>(n, y, x, c));
        }
      }
    }
  }
  return values;
}

Edges run(Context& context, const Program& program, const SparseTensor& frame) {
  Edges edges;
  const Shape& s = program.output_like.shape();
  Tensor output(DType::f32, Shape{frame.batch, s[0], s[1], s[2]});
  const Context::Hook hook = [&](EdgeId edge, const View& view) { edges[edge] = values_of(view); };
  context.run(frame, output, &hook);
  Tensor again(DType::f32, output.shape());
  context.run(frame, again);
  CHECK(std::ranges::equal(output.span<float>(), again.span<float>()));
  return edges;
}

// What the oracle makes of every edge, row by row as the hook sees it.
std::vector<std::vector<double>> wanted_of(const QGraph& graph, const SparseTensor& frame) {
  SparseOracle oracle(graph, frame.batch);
  std::vector<std::vector<double>> wanted;
  for (const DenseEdge& e : oracle.run(frame)) {
    const auto channels = static_cast<std::size_t>(e.channels);
    std::vector<double>& values = wanted.emplace_back();
    for (std::size_t i = 0; i < e.active.size() * channels; ++i) {
      if (e.active[i / channels]) values.push_back(e.quantised() ? e.q[i] : e.real[i]);
    }
  }
  return wanted;
}

// Integers equal exactly, reals within a bound that sums of this size allow.
void compare(const QGraph& graph, const std::vector<std::vector<double>>& wanted, const Edges& edges,
             const std::string& what) {
  for (const auto& [id, values] : edges) {
    const auto at = static_cast<std::size_t>(id);
    const double allowed = graph.edges[at].quantised ? 0.0 : 1e-3;
    REQUIRE_MESSAGE(values.size() == wanted[at].size(), what << ": " << graph.edges[at].name);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double off = std::fabs(static_cast<double>(values[i]) - wanted[at][i]);
      wrong += !(off <= allowed * std::max(1.0, std::fabs(wanted[at][i])));
    }
    CHECK_MESSAGE(wrong == 0, what << ": " << graph.edges[at].name << ": " << wrong << " of " << values.size());
  }
}

void check_everywhere(const QGraph& graph, const std::vector<SparseTensor>& frames, const std::string& what) {
  std::vector<std::vector<std::vector<double>>> wanted;
  for (const SparseTensor& frame : frames) wanted.push_back(wanted_of(graph, frame));
  for (const kernels::Isa isa : kernels::available_isas()) {
    for (const int threads : {1, 2, 3}) {
      if (isa == kernels::Isa::reference && threads > 1) continue;  // slow, and split as the others are
      const auto program = kernels::plan(graph, {.batch = 2, .isa = isa, .keep_edges = threads == 1});
      ThreadPool pool(threads);
      Context context(program, pool);
      for (std::size_t i = 0; i < frames.size(); ++i) {
        const Edges edges = run(context, *program, frames[i]);
        CHECK(edges.size() > graph.nodes.size() / 2);
        compare(graph, wanted[i], edges, fmt::format("{} {} {} threads", what, name_of(isa), threads));
      }
    }
  }
}

}  // namespace

TEST_CASE("integer sparse networks equal the dense oracle, on every instruction set and any number of threads") {
  const Made flat = make(unet(true), calib::Scheme::symmetric, false, 1);
  check_everywhere(flat.integer, flat.frames, "flat U-Net");
  const Made solid = make(unet(false), calib::Scheme::symmetric, true, 2);
  check_everywhere(solid.integer, solid.frames, "U-Net");
  const Made affine = make(unet(false), calib::Scheme::affine, false, 3);
  check_everywhere(affine.integer, affine.frames, "affine U-Net");
  const Made deep = make(encoder(), calib::Scheme::symmetric, false, 4);
  check_everywhere(deep.integer, deep.frames, "encoder");

  for (const Made* made : {&flat, &solid, &affine, &deep}) {
    int integer = 0;
    for (const QNode& node : made->integer.nodes) integer += node.precision == Precision::int8;
    for (const QNode& node : made->integer.nodes) CHECK_MESSAGE(node.why.empty(), node.name << ": " << node.why);
    CHECK(integer >= 8);
    CHECK(made->integer.edges[static_cast<std::size_t>(made->integer.nodes[0].output)].quant.wide());
  }
}

TEST_CASE("float sparse networks are within rounding of the oracle") {
  const Made solid = make(unet(false), calib::Scheme::symmetric, false, 5);
  check_everywhere(calib::as_float(solid.graph), solid.frames, "float U-Net");
  check_everywhere(calib::as_float(solid.graph, false), solid.frames, "float U-Net, batch-norms apart");
}

TEST_CASE("the integer network is near the float one") {
  const Made made = make(encoder(), calib::Scheme::symmetric, false, 6);
  ThreadPool pool(2);
  const auto real = kernels::plan(calib::as_float(made.graph), {.batch = 2});
  const auto integer = kernels::plan(made.integer, {.batch = 2});
  Context a(real, pool), b(integer, pool);
  const Shape& s = real->output_like.shape();
  Tensor wanted(DType::f32, Shape{2, s[0], s[1], s[2]}), got(DType::f32, wanted.shape());
  a.run(made.frames[0], wanted);
  b.run(made.frames[0], got);
  double signal = 0, noise = 0;
  for (std::size_t i = 0; i < wanted.span<float>().size(); ++i) {
    const double w = wanted.span<float>()[i], off = got.span<float>()[i] - w;
    signal += w * w, noise += off * off;
  }
  CHECK(signal > 0);
  CHECK(10 * std::log10(signal / noise) > 20);  // seeded weights; 8 bits through 10 layers
}

TEST_CASE("an .octet file of a sparse network comes back the same") {
  const Made made = make(unet(false), calib::Scheme::symmetric, false, 7);
  const auto path = std::filesystem::temp_directory_path() / fmt::format("octet_sparse_{}.octet", ::getpid());
  save_octet_file(made.integer, path);
  const QGraph back = load_octet_file(path);
  std::filesystem::remove(path);
  CHECK(octet_file_bytes(back) == octet_file_bytes(made.integer));
  check_everywhere(back, {made.frames[2]}, "from a file");
}

TEST_CASE("what does not fit is refused") {
  Graph g("wrong");
  const EdgeId x = g.sparse_input("points", 4, {4, 8, 8});
  CHECK_THROWS_AS(g.conv2d("dense", x, 4, {}), Error);
  CHECK_THROWS_AS(g.flatten("flatten", x), Error);
  CHECK_THROWS_AS(g.sparse_conv("even", x, 4, {.kernel = {2, 2, 2}, .submanifold = true}), Error);
  CHECK_THROWS_AS(g.inverse_sparse_conv("up", x, 4, "nobody"), Error);
  const EdgeId a = g.sparse_conv("a", x, 4, {.padding = {1, 1, 1}});  // not submanifold: other sites, same grid
  CHECK_THROWS_WITH_AS(g.add("sum", {a, x}), doctest::Contains("different sites"), Error);
  g.set_output(a);
  g.seed_weights(1);
  CHECK_THROWS_WITH_AS(calib::as_float(g), doctest::Contains("to_dense"), Error);
  g.set_output(g.to_dense("bev", a));

  ThreadPool pool(1);
  const auto program = kernels::plan(calib::as_float(g), {});
  Context context(program, pool);
  Random random(1);
  Tensor output(DType::f32, Shape{1, 16, 8, 8}), wrong(DType::f32, Shape{1, 4, 8, 8});
  const SparseTensor frame = random_sparse(random, {4, 8, 8}, 1, 4, 0.1);
  context.run(frame, output);
  CHECK_THROWS_AS(context.run(frame, wrong), Error);
  CHECK_THROWS_AS(context.run(wrong, output), Error);
  CHECK_THROWS_AS(context.run(random_sparse(random, {4, 8, 8}, 1, 5, 0.1), output), Error);
  CHECK_THROWS_AS(context.run(random_sparse(random, {4, 8, 9}, 1, 4, 0.1), output), Error);
  CHECK_THROWS_AS(context.run(random_sparse(random, {4, 8, 8}, 2, 4, 0.1), output), Error);
}

TEST_CASE("a NaN is found, one beyond the last site is not") {
  Made made = make(encoder(), calib::Scheme::symmetric, false, 8);
  ThreadPool pool(1);
  const auto program = kernels::plan(made.integer, {.batch = 2});
  Context context(program, pool);
  const Shape& s = program->output_like.shape();
  Tensor output(DType::f32, Shape{2, s[0], s[1], s[2]});
  SparseTensor frame = made.frames[0];
  frame.features = frame.features.clone();
  frame.features.span<float>().back() = std::nanf("");
  CHECK_THROWS_WITH_AS(context.run(frame, output), doctest::Contains("NaN"), Error);
  // The same memory, one row less: the NaN lies behind the last row.
  frame.keys.pop_back();
  frame.features =
      Tensor(DType::f32, Shape{frame.rows(), 5}, frame.features.raw(), std::make_shared<Tensor>(frame.features));
  context.run(frame, output);
}
