// Sparse networks from Graph to bytes: a small U-Net with residual sums, a skip connection and inverse convolutions,
// and an encoder shaped like CenterPoint's, against the dense oracle, on every instruction set, with 1, 2 and 3
// threads.
#include "runtime/io/octet_file.h"
#include "tests/sparse_networks.h"

using namespace octet;
using namespace octet::test;

namespace {

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
        const Edges edges = run_sparse(context, *program, frames[i]);
        CHECK(edges.size() > graph.nodes.size() / 2);
        compare_edges(graph, wanted[i], edges, fmt::format("{} {} {} threads", what, name_of(isa), threads));
      }
    }
  }
}

}  // namespace

TEST_CASE("integer sparse networks equal the dense oracle, on every instruction set and any number of threads") {
  const Made flat = make_sparse(sparse_unet(true), calib::Scheme::symmetric, false, 1);
  check_everywhere(flat.integer, flat.frames, "flat U-Net");
  const Made solid = make_sparse(sparse_unet(false), calib::Scheme::symmetric, true, 2);
  check_everywhere(solid.integer, solid.frames, "U-Net");
  const Made affine = make_sparse(sparse_unet(false), calib::Scheme::affine, false, 3);
  check_everywhere(affine.integer, affine.frames, "affine U-Net");
  const Made deep = make_sparse(sparse_encoder(), calib::Scheme::symmetric, false, 4);
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
  const Made solid = make_sparse(sparse_unet(false), calib::Scheme::symmetric, false, 5);
  check_everywhere(calib::as_float(solid.graph), solid.frames, "float U-Net");
  check_everywhere(calib::as_float(solid.graph, false), solid.frames, "float U-Net, batch-norms apart");
}

TEST_CASE("the integer network is near the float one") {
  const Made made = make_sparse(sparse_encoder(), calib::Scheme::symmetric, false, 6);
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
  const Made made = make_sparse(sparse_unet(false), calib::Scheme::symmetric, false, 7);
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
  Made made = make_sparse(sparse_encoder(), calib::Scheme::symmetric, false, 8);
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
