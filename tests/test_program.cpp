// Program against the interpreter: batches, threads, contexts, photos, and everything that the planner does to memory.
#include <doctest/doctest.h>

#include <limits>
#include <thread>

#include "tests/program_graphs.h"

using namespace octet;
using namespace octet::test;

namespace {

const std::vector<calib::Scheme> kSchemes = {calib::Scheme::symmetric, calib::Scheme::affine};

Tensor first_images(const Tensor& input, std::int64_t from, std::int64_t count) {
  std::vector<std::int64_t> dims(input.shape().dims().begin(), input.shape().dims().end());
  const std::int64_t per_image = input.elements() / dims[0];
  dims[0] = count;
  Tensor part(input.dtype(), Shape(dims));
  std::ranges::copy(input.span<float>().subspan(static_cast<std::size_t>(from * per_image), part.span<float>().size()),
                    part.span<float>().begin());
  return part;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

void check_everywhere(const Quantised& q) {
  Tensor first;
  for (const kernels::Isa isa : kernels::available_isas()) {
    for (const bool keep : {false, true}) {
      ThreadPool pool(2);
      const int batch = static_cast<int>(q.input.shape()[0]);
      const Run run = run_once(q.graph, {.batch = batch, .isa = isa, .keep_edges = keep}, q.input, pool);
      const Verdict verdict = compare(q.graph, reals_of(q.input), run, batch);
      CHECK_MESSAGE(verdict.error.empty(), q.graph.name << " " << kernels::name_of(isa) << ": " << verdict.error);
      CHECK(verdict.integer_edges > 1);
      if (first.empty()) first = run.output;
      CHECK(same(first, run.output));
    }
  }
}

}  // namespace

TEST_CASE("every hand-made network gives the interpreter's integers") {
  for (const calib::Scheme scheme : kSchemes) {
    for (const Graph& graph :
         {chain(), borders(), residuals(), kept(), wide_sum(), concats(), flat(1, 6), flat(6, 1)}) {
      check_everywhere(quantised(graph, scheme));
    }
  }
}

TEST_CASE("networks of floats keep within the bound of their layers") {
  for (Graph graph : {chain(), borders(), residuals(), concats()}) {
    Random random(3);
    randomise_weights(graph, random);
    const Tensor input = random.tensor(with_batch(2, graph.edges()[0].shape), 2.0);
    for (const bool fold : {false, true}) {
      const QGraph real = calib::as_float(graph, fold);
      for (const kernels::Isa isa : kernels::available_isas()) {
        ThreadPool pool(2);
        const Run run = run_once(real, {.batch = 2, .isa = isa}, input, pool);
        const Verdict verdict = compare(real, reals_of(input), run, 2);
        CHECK_MESSAGE(verdict.error.empty(), graph.name() << ": " << verdict.error);
        CHECK(verdict.real_edges >= 6);
      }
    }
  }
}

TEST_CASE("an image's integers do not depend on the batch it came in, nor on the number of threads") {
  const Quantised q = quantised(chain(), calib::Scheme::affine, 5);
  for (const kernels::Isa isa : kernels::available_isas()) {
    const auto program = kernels::plan(q.graph, {.batch = 5, .isa = isa});
    for (int threads = 1; threads <= 4; ++threads) {
      ThreadPool pool(threads);
      Context context(program, pool);
      const Run whole = run_once(context, *program, q.input);
      for (const int n : {1, 2, 3, 4, 5, 2}) {  // also a larger batch after a smaller one, and back
        for (int from = 0; from < 5; from += n) {
          const int count = std::min(n, 5 - from);  // the last batch is smaller
          const Tensor images = first_images(q.input, from, count);
          const Run part = run_once(context, *program, images);
          CHECK(same(part.output, first_images(whole.output, from, count)));
          const Verdict verdict = compare(q.graph, reals_of(images), part, count);
          CHECK_MESSAGE(verdict.error.empty(), verdict.error);
        }
      }
    }
  }
}

TEST_CASE("several contexts in several threads share one program and one pool") {
  const Quantised q = quantised(concats(), calib::Scheme::affine, 2);
  const auto program = kernels::plan(q.graph, {.batch = 2});
  for (const int threads : {1, 3}) {
    ThreadPool shared(threads);
    Context reference(program, shared);
    Tensor wanted = output_for(*program, 2);
    reference.run(q.input, wanted);
    std::vector<std::thread> users;
    std::atomic<int> wrong{0};
    for (int user = 0; user < 4; ++user) {
      users.emplace_back([&] {
        Context context(program, shared);
        for (int i = 0; i < 20; ++i) {
          Tensor output = output_for(*program, 2);
          context.run(q.input, output);
          if (!same(output, wanted)) ++wrong;
        }
      });
    }
    for (std::thread& user : users) user.join();
    CHECK(wrong == 0);
  }
}

TEST_CASE("photos through the table equal the float path") {
  const kernels::PlanOptions::Photo photo{.mean = {123.675f, 116.28f, 103.53f}, .std = {58.395f, 57.12f, 57.375f}};
  Random random(11);
  Tensor pixels(DType::u8, Shape{3, 17, 13, 3});
  for (std::uint8_t& p : pixels.span<std::uint8_t>()) p = static_cast<std::uint8_t>(random.bits());
  Tensor reals(DType::f32, Shape{3, 3, 17, 13});
  for (std::size_t n = 0; n < 3; ++n) {
    for (std::size_t c = 0; c < 3; ++c) {
      for (std::size_t i = 0; i < 17 * 13; ++i) {
        const auto p = static_cast<float>(pixels.span<std::uint8_t>()[(n * 17 * 13 + i) * 3 + c]);
        reals.span<float>()[(n * 3 + c) * 17 * 13 + i] = (p - photo.mean[c]) / photo.std[c];
      }
    }
  }
  std::vector<QGraph> graphs = {quantised(chain(), calib::Scheme::symmetric).graph,
                                quantised(chain(), calib::Scheme::affine).graph};
  Graph real = chain();
  randomise_weights(real, random);
  graphs.push_back(calib::as_float(real));
  for (const QGraph& graph : graphs) {
    for (const kernels::Isa isa : kernels::available_isas()) {
      ThreadPool pool(1);
      const Run by_table = run_once(graph, {.batch = 3, .isa = isa, .photo = photo}, pixels, pool);
      const Run by_float = run_once(graph, {.batch = 3, .isa = isa}, reals, pool);
      CHECK(same(by_table.output, by_float.output));
      int compared = 0;
      for (const auto& [edge, values] : by_table.edges) {
        const std::string found = difference(by_float.edges.at(edge), values);
        CHECK_MESSAGE(found.empty(), graph.edges[static_cast<std::size_t>(edge)].name << ": " << found);
        ++compared;
      }
      CHECK(compared >= 8);
    }
  }
  const kernels::PlanOptions::Photo zero{.std = {1, 0, 1}};
  CHECK_THROWS_AS(kernels::plan(graphs[0], {.photo = zero}), Error);
  CHECK_THROWS_AS(kernels::plan(quantised(concats(), calib::Scheme::affine).graph, {.photo = zero}), Error);
  CHECK_THROWS_AS(kernels::plan(quantised(borders(), calib::Scheme::affine).graph, {.photo = photo}), Error);
}

TEST_CASE("a NaN is an error, and the context works afterwards") {
  const Quantised q = quantised(chain(), calib::Scheme::affine);
  for (const kernels::Isa isa : kernels::available_isas()) {
    ThreadPool pool(2);
    const auto program = kernels::plan(q.graph, {.batch = 3, .isa = isa});
    Context context(program, pool);
    Tensor wanted = output_for(*program, 3), output = output_for(*program, 3);
    context.run(q.input, wanted);
    for (const std::size_t where : {std::size_t{0}, std::size_t{300}, q.input.span<float>().size() - 1}) {
      Tensor broken = q.input.clone();
      broken.span<float>()[where] = std::numeric_limits<float>::quiet_NaN();
      CHECK_THROWS_AS(context.run(broken, output), Error);
      context.run(q.input, output);
      CHECK(same(output, wanted));
    }
    Tensor endless = q.input.clone();  // infinities saturate
    endless.span<float>()[0] = std::numeric_limits<float>::infinity();
    endless.span<float>()[1] = -std::numeric_limits<float>::infinity();
    const Run run = run_once(context, *program, endless);
    const EdgeId first = q.graph.nodes[0].output;
    CHECK(run.edges.at(first).q[0] == q.graph.edges[static_cast<std::size_t>(first)].quant.hi);
    CHECK(run.edges.at(first).q[1] == q.graph.edges[static_cast<std::size_t>(first)].quant.lo);
  }
}

TEST_CASE("a NaN that is made inside a float island is found at the quantiser behind it") {
  Graph g("island");
  EdgeId x = g.input("image", Shape{2, 4, 4});
  x = g.max_pool("pool", x, Window::square(2, 2));
  g.set_output(g.conv2d("conv", x, 3, conv(1)));
  Random random(5);
  randomise_weights(g, random, 0);
  observe_all(g);
  const Tensor input = random.tensor(Shape{1, 2, 4, 4}, 1.0);
  const QGraph q = calib::quantise(g, ranges_for(g, input, calib::Scheme::symmetric), {.ignore = {"pool"}});
  for (const kernels::Isa isa : kernels::available_isas()) {
    for (std::size_t where = 0; where < 32; ++where) {
      Tensor broken = input.clone();
      broken.span<float>()[where] = std::numeric_limits<float>::quiet_NaN();
      ThreadPool pool(1);
      const auto program = kernels::plan(q, {.isa = isa});
      Context context(program, pool);
      Tensor output = output_for(*program, 1);
      CHECK_THROWS_AS(context.run(broken, output), Error);
    }
  }
}

TEST_CASE("a NaN passes through every float layer to the quantiser behind, fused layers too") {
  Graph g("fused");
  EdgeId x = g.input("image", Shape{3, 6, 6});
  x = g.max_pool("pool", g.relu("relu", g.conv2d("conv", x, 20, conv(3))), Window::square(2, 2));
  x = g.relu6("relu6", g.conv2d("depthwise", x, 20, conv(1, 1, 0, 20)));
  x = g.relu("r", g.add("sum", {x, x}));
  x = g.linear("fc1", g.flatten("flatten", g.avg_pool("mean", x, Window::square(2))), 5);
  g.set_output(g.linear("fc2", x, 2));
  Random random(5);
  randomise_weights(g, random, 0);
  observe_all(g);
  const Tensor input = random.tensor(Shape{1, 3, 6, 6}, 1.0);
  const calib::QuantiseOptions all_but_one{.only = {"fc2"}};
  const QGraph q = calib::quantise(g, ranges_for(g, input, calib::Scheme::symmetric), all_but_one);
  for (const kernels::Isa isa : kernels::available_isas()) {
    const auto program = kernels::plan(q, {.isa = isa});
    ThreadPool pool(1);
    Context context(program, pool);
    Tensor output = output_for(*program, 1);
    CHECK_NOTHROW(context.run(input, output));
    int missed = 0;
    for (std::size_t where = 0; where < input.span<float>().size(); ++where) {
      Tensor broken = input.clone();
      broken.span<float>()[where] = std::numeric_limits<float>::quiet_NaN();
      try {
        context.run(broken, output);
        ++missed;
      } catch (const Error&) {
      }
    }
    CHECK_MESSAGE(missed == 0, kernels::name_of(isa) << " let " << missed << " of 108 NaNs vanish");
  }
}

TEST_CASE("wrong inputs and outputs are errors") {
  const Quantised q = quantised(chain(), calib::Scheme::symmetric);
  const auto program = kernels::plan(q.graph, {.batch = 3});
  ThreadPool pool(1);
  Context context(program, pool);
  Tensor output(DType::f32, Shape{3, 4});
  const auto refuses = [&](const Tensor& input, Tensor target) { CHECK_THROWS_AS(context.run(input, target), Error); };
  refuses(Tensor(DType::f32, Shape{4, 3, 17, 13}), Tensor(DType::f32, Shape{4, 4}));  // larger than planned
  refuses(Tensor(DType::f32, Shape{0, 3, 17, 13}), Tensor(DType::f32, Shape{0, 4}));
  refuses(Tensor(DType::f32, Shape{3, 3, 13, 17}), output);
  refuses(Tensor(DType::f32, Shape{3, 17, 13}), output);
  refuses(Tensor(DType::f32, Shape{3, 663}), output);
  refuses(Tensor(DType::u8, Shape{3, 3, 17, 13}), output);
  refuses(Tensor(), output);
  refuses(q.input, Tensor());
  refuses(q.input, Tensor(DType::f32, Shape{2, 4}));
  refuses(q.input, Tensor(DType::f32, Shape{3, 5}));
  refuses(q.input, Tensor(DType::f32, Shape{3, 4, 1}));
  refuses(q.input, Tensor(DType::s32, Shape{3, 4}));
  context.run(q.input, output);  // and still it works
  CHECK_THROWS_AS(kernels::plan(q.graph, {.batch = 0}), Error);
  CHECK_THROWS_AS(kernels::plan(q.graph, {.batch = 5000}), Error);
  CHECK_THROWS_AS(ThreadPool(0), Error);
  CHECK_THROWS_AS(ThreadPool(1025), Error);
}

TEST_CASE("what cannot be planned is an error that names the layer") {
  Random random(1);
  const auto message = [&](Graph g) -> std::string {
    randomise_weights(g, random);
    try {
      kernels::plan(calib::as_float(g), {});
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  Graph many("many");
  const EdgeId x = many.input("image", Shape{2, 3, 3});
  many.set_output(many.add("nine", std::vector<EdgeId>(9, x)));
  CHECK(message(many).find("nine") != std::string::npos);
  Graph norm("norm");
  EdgeId y = norm.flatten("flatten", norm.input("image", Shape{2, 3, 3}));
  y = norm.batch_norm("bn_flat", y);
  norm.set_output(norm.linear("fc", y, 2));
  CHECK(message(norm).find("bn_flat") != std::string::npos);
  Graph mixed("mixed");
  const EdgeId image = mixed.input("image", Shape{2, 3, 3});
  const EdgeId flat = mixed.flatten("flatten", image);
  mixed.set_output(mixed.add("both", {flat, mixed.linear("fc", flat, 18)}));
  CHECK(message(mixed).find("both") != std::string::npos);
}

TEST_CASE("eight operands can be added, and their halves round to even") {
  Graph g("eight");
  const EdgeId x = g.input("image", Shape{2, 3, 3});
  g.set_output(g.add("sum", std::vector<EdgeId>(8, x)));
  check_everywhere(quantised(g, calib::Scheme::affine));
}
