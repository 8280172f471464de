// The random-graph differential fuzzer: networks of random layers, weights and ranges are quantised, planned for every
// instruction set this machine has, run, and held against the interpreter edge by edge.
//
//     OCTET_FUZZ_SECONDS=60 OCTET_FUZZ_SEED=1000 build/bin/test_fuzz_graphs
//
// Each case prints nothing unless it fails; then its seed, which as OCTET_FUZZ_SEED makes it the first case.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>

#include "tests/program_oracle.h"
#include "tests/random_graph.h"

using namespace octet;
using namespace octet::test;

namespace {

struct Tally {
  int graphs = 0, integer_edges = 0, real_edges = 0, islands = 0, refused = 0;
};

double environment(const char* name, double otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtod(text, nullptr);
}

std::string describe(const QGraph& graph) {
  std::string text;
  for (const QNode& n : graph.nodes) {
    text += fmt::format("{} = {} (", n.name, name_of(n.op));
    for (const EdgeId e : n.inputs) text += " " + graph.edges[static_cast<std::size_t>(e)].name;
    const QEdge& out = graph.edges[static_cast<std::size_t>(n.output)];
    text += fmt::format(" ) {} {} {}", out.shape.str(), name_of(n.precision), name_of(n.activation));
    const Window& w = n.window;
    text += fmt::format(" k{}x{} s{}x{} p{},{},{},{} d{}x{} g{}", w.kernel_h, w.kernel_w, w.stride_h, w.stride_w,
                        w.pad_top, w.pad_left, w.pad_bottom, w.pad_right, w.dilation_h, w.dilation_w, n.groups);
    if (out.quantised)
      text += fmt::format(" q({} {} {} {}{})", out.quant.step, out.quant.zero, out.quant.lo, out.quant.hi,
                          out.quant.dead ? " dead" : "");
    text += "\n";
  }
  return text;
}

bool has_island(const QGraph& graph) {
  return std::ranges::any_of(graph.nodes, [](const QNode& n) {
    return n.precision == Precision::fp32 && n.op != Op::quantise && n.op != Op::dequantise;
  });
}

// Plans and runs `graph` on every instruction set. Without float layers the outputs must be equal to the last bit too.
std::string check(const QGraph& graph, const Tensor& input, Random& random, Tally& tally) {
  const std::int64_t batch = input.shape()[0];
  ThreadPool pool(random.chance(0.85) ? 1 : random.between(2, 3));  // threads have tests of their own
  Tensor first;
  Memory memory;
  for (const kernels::Isa isa : kernels::available_isas()) {
    for (const bool keep : {false, true}) {
      kernels::PlanOptions options;
      options.batch = static_cast<int>(batch) + random.between(0, 2);
      options.isa = isa;
      options.keep_edges = keep;
      const auto where = fmt::format("{}, keep_edges {}: ", kernels::name_of(isa), keep);
      const auto program = kernels::plan(graph, options);
      Context context(program, pool);
      const Run run = run_once(context, *program, input);
      const Verdict verdict = compare(graph, reals_of(input), run, batch, &memory);
      tally.integer_edges += verdict.integer_edges, tally.real_edges += verdict.real_edges;
      if (!verdict.error.empty()) return where + verdict.error;
      // Every integer of the graph must have been looked at.
      if (keep) {
        for (std::size_t i = 0; i < graph.edges.size(); ++i) {
          if (!run.edges.contains(static_cast<EdgeId>(i)) && static_cast<EdgeId>(i) != graph.input) {
            return where + "nothing was seen of edge " + graph.edges[i].name;
          }
        }
      }
      // A second run in the same context finds the arena full of the first one's values.
      const Run again = run_once(context, *program, input);
      const std::string changed = difference(reals_of(run.output), reals_of(again.output));
      if (!changed.empty()) return where + "second run: " + changed;
      if (has_island(graph)) continue;
      if (first.empty()) first = run.output;
      const std::string found = difference(reals_of(first), reals_of(run.output));
      if (!found.empty()) return where + "differs from the first instruction set: " + found;
    }
  }
  return "";
}

std::vector<std::string> random_ignores(const Graph& graph, Random& random) {
  std::vector<std::string> ignored;
  if (random.chance(0.5)) return ignored;
  std::vector<std::string> layers;  // batch-norms that were folded away cannot be named
  for (const QNode& n : calib::as_float(graph).nodes) {
    if (n.op != Op::batch_norm && n.op != Op::relu && n.op != Op::relu6 && n.op != Op::flatten)
      layers.push_back(n.name);
  }
  for (const std::string& layer : layers) {
    if (random.chance(0.25)) ignored.push_back(layer);
  }
  return ignored;
}

void one_case(std::uint64_t seed, Tally& tally) {
  Random random(seed);
  const Graph graph = GraphMaker(random, true).make();
  const std::int64_t batch = random.between(1, 3);
  const Tensor input = random.tensor(with_batch(batch, graph.edges()[0].shape), random.chance(0.2) ? 100.0 : 2.0);
  const auto report = [&](const QGraph& q, const std::string& error) {
    FAIL_CHECK("OCTET_FUZZ_SEED=" << seed << ": " << error << "\n" << describe(q));
  };
  const QGraph folded = calib::as_float(graph), unfolded = calib::as_float(graph, false);
  for (const QGraph* real : {&folded, &unfolded}) {
    const std::string error = check(*real, input, random, tally);
    if (!error.empty()) report(*real, "as_float: " + error);
    // And from end to end, with the bounds of all layers added up.
    const std::vector<Values> wanted = Interpreter(*real, batch).run(reals_of(input));
    ThreadPool pool(1);
    const Run run = run_once(*real, {.batch = static_cast<int>(batch)}, input, pool);
    const std::string end = difference(wanted[static_cast<std::size_t>(real->output)], reals_of(run.output));
    if (!end.empty()) report(*real, "as_float from end to end: " + end);
  }
  const calib::Ranges ranges = random_ranges(graph, input, random);
  const QGraph q = calib::quantise(graph, ranges, {.ignore = random_ignores(graph, random)});
  tally.islands += has_island(q);
  const std::string error = check(q, input, random, tally);
  if (!error.empty()) report(q, error);
  ++tally.graphs;
}

}  // namespace

TEST_CASE("random graphs give the interpreter's integers on every instruction set") {
  const double seconds = environment("OCTET_FUZZ_SECONDS", 3);
  const auto first = static_cast<std::uint64_t>(environment("OCTET_FUZZ_SEED", 1));
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  Tally tally;
  for (std::uint64_t i = 0; i < 20 || elapsed() < seconds; ++i) {
    try {
      one_case(first + i, tally);
    } catch (const std::exception& e) {
      FAIL_CHECK("OCTET_FUZZ_SEED=" << first + i << ": " << std::string(e.what()));
    }
  }
  MESSAGE(tally.graphs, " graphs, ", tally.integer_edges, " integer and ", tally.real_edges, " real edges compared, ",
          tally.islands, " graphs with float islands");
  CHECK(tally.integer_edges > 100);
}
