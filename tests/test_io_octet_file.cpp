// .octet files and ranges.json from strangers: what loads must also plan and run, at every instruction set; everything
// else is an octet::Error. Files are damaged in text (numbers, words, nesting) and in bytes.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "calib/calibrate.h"
#include "calib/quantise.h"
#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/io/octet_file.h"

using namespace octet;

namespace {

Graph small_network() {
  Graph g("small");
  EdgeId x = g.observe(g.input("image", Shape{3, 12, 12}), "image");
  x = g.observe(g.relu("relu", g.conv2d("conv", x, 8, {.window = Window::square(3, 1, 1)})), "conv");
  x = g.max_pool("pool", x, Window::square(2, 2));
  x = g.observe(g.linear("fc", g.flatten("flatten", x), 5), "fc");
  g.set_output(x);
  g.seed_weights(3);
  return g;
}

calib::Ranges ranges_of(const Graph& graph) {
  ThreadPool pool(1);
  calib::Calibrator calibrator(graph, {.batch = 1}, pool);
  Tensor input(DType::f32, Shape{1, 3, 12, 12});
  for (std::size_t i = 0; i < input.span<float>().size(); ++i) input.span<float>()[i] = static_cast<float>(i % 17) - 4;
  calibrator.observe(input);
  return calibrator.ranges();
}

std::filesystem::path scratch_file() {
  return std::filesystem::temp_directory_path() / fmt::format("octet-file-test-{}.octet", getpid());
}

// Runs what was loaded on every instruction set of this machine; all must agree.
void run_everywhere(const QGraph& graph) {
  ThreadPool pool(1);
  std::vector<float> expected;
  for (const kernels::Isa isa : kernels::available_isas()) {
    const auto program = kernels::plan(graph, {.isa = isa});
    if (program->input_like.shape().elements() > 10'000 || program->output_like.shape().elements() > 10'000) return;
    const auto batched = [](const Tensor& like) {
      std::vector<std::int64_t> dims{1};
      for (const std::int64_t d : like.shape().dims()) dims.push_back(d);
      return Tensor(like.dtype(), Shape(dims));
    };
    Tensor input = batched(program->input_like), output = batched(program->output_like);
    Context(program, pool).run(input, output);
    const auto values = output.span<float>();
    if (expected.empty()) expected.assign(values.begin(), values.end());
    bool integers = true;
    for (const QNode& n : graph.nodes)
      integers &= n.precision == Precision::int8 || n.op == Op::quantise || n.op == Op::dequantise;
    if (integers) CHECK(std::equal(values.begin(), values.end(), expected.begin(), expected.end()));
  }
}

// Loads, plans and runs, or throws Error. Returns whether it ran.
bool survives(const std::string& bytes) {
  write_file_atomically(scratch_file(), std::string_view(bytes));
  try {
    run_everywhere(load_octet_file(scratch_file()));
    return true;
  } catch (const Error& e) {
    CHECK(std::string(e.what()).find('\n') == std::string::npos);
    return false;
  }
}

std::string good_file() {
  const Graph graph = small_network();
  const auto bytes = octet_file_bytes(calib::quantise(graph, ranges_of(graph)));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Replaces text by other text of the same length, so that the container stays whole and the lie is all that is wrong.
std::string with(std::string file, std::string_view from, std::string_view to) {
  const auto at = file.find(from);
  REQUIRE(at != std::string::npos);
  REQUIRE(from.size() == to.size());
  return file.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a good .octet file comes back as the same bytes and runs alike everywhere") {
  const std::string file = good_file();
  CHECK(survives(file));
  const auto again = octet_file_bytes(load_octet_file(scratch_file()));
  CHECK(std::string(reinterpret_cast<const char*>(again.data()), again.size()) == file);
}

TEST_CASE("lies that once crashed: fields of other operations, equal names, the notebook's scales, deep nesting") {
  const Graph graph = small_network();
  const auto refuse = [&](auto change) {
    QGraph q = calib::quantise(graph, ranges_of(graph));
    change(q);
    CHECK_THROWS_AS(q.validate(), Error);
  };
  const auto node = [](QGraph& q, const char* name) -> QNode& {
    for (QNode& n : q.nodes) {
      if (n.name == name) return n;
    }
    throw std::logic_error("no such node");
  };
  refuse([&](QGraph& q) { node(q, "fc").window.kernel_w = 2; });
  refuse([&](QGraph& q) { node(q, "fc").groups = 2; });
  refuse([&](QGraph& q) { node(q, "flatten").inputs.push_back(q.input); });
  refuse([&](QGraph& q) { node(q, "flatten").name = "pool"; });
  refuse([&](QGraph& q) { q.requantisation = Requantisation::notebook; });
  CHECK_FALSE(survives(with(good_file(), "one_multiply", "one_multiplx")));

  const std::string deep(100'000, '[');
  const std::string closed = deep + std::string(100'000, ']');
  CHECK_THROWS_AS(calib::ranges_from_json("{\"octet_ranges\": " + closed + "}", "deep.json"), Error);
  calib::Ranges ranges = ranges_of(graph);
  ranges.ignore = {std::string(100'000, '(')};
  CHECK_THROWS_AS(calib::quantise(graph, ranges), Error);
  std::string dead = calib::to_json(ranges_of(graph));
  dead.replace(dead.find("\"hi\": 127}"), 10, "\"hi\": 127, \"dead\": true}");
  CHECK_THROWS_AS(calib::ranges_from_json(dead, "dead.json"), Error);
}

TEST_CASE("damaged .octet files: an Error, or a network that runs") {
  const std::string good = good_file();
  const std::size_t header = good.find("\\\"nodes\\\"");  // the network is JSON inside of JSON
  REQUIRE(header != std::string::npos);
  std::mt19937 random(20261122);
  int ran = 0;
  for (int i = 0; i < 400; ++i) {
    std::string file = good;
    for (int changes = 1 + static_cast<int>(random() % 2); changes > 0; --changes) {
      // Mostly digits of the description become other digits; sometimes any byte changes.
      std::size_t at = random() % std::min<std::size_t>(file.size(), 6000);
      if (random() % 4 != 0) {
        while (at < file.size() && (file[at] < '0' || file[at] > '9')) ++at;
        if (at < file.size()) file[at] = static_cast<char>('0' + random() % 10);
      } else {
        file[at] = static_cast<char>(random());
      }
    }
    ran += survives(file);
  }
  CHECK(ran > 10);  // some damage only changes values: those must run
  CHECK(ran < 390);
  std::filesystem::remove(scratch_file());
}
