// Time of single layers, every layer shape of the cat/dog network, at every instruction-set level of this machine.
// A level is validated first: its result must equal the reference's byte for byte, or the benchmark stops.
//
// Each layer is a network of its own (photo bytes or floats in, floats out); only the layer's step is timed, one
// thread, warm caches, as inside a network whose activations stay in the second-level cache.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>

#include "calib/calibrate.h"
#include "calib/quantise.h"
#include "runtime/error.h"

namespace {

using namespace octet;

struct Layer {
  const char* name;
  int in, height, width, out, kernel;  // kernel 0: a linear layer of in * height * width features
  bool pool;                           // followed by a 2x2 max-pool
};

constexpr Layer kLayers[] = {
    {"cnn1", 3, 224, 224, 16, 5, true}, {"cnn2", 16, 110, 110, 32, 5, true}, {"cnn3", 32, 53, 53, 16, 3, true},
    {"cnn4", 16, 25, 25, 8, 3, true},   {"fc1", 8, 11, 11, 512, 0, false},
};

Graph network_of(const Layer& layer) {
  Graph g(layer.name);
  EdgeId x = g.observe(g.input("input", Shape{layer.in, layer.height, layer.width}), "in");
  if (layer.kernel == 0) {
    x = g.linear("layer", g.flatten("flatten", x), layer.out);
  } else {
    x = g.relu("relu", g.conv2d("layer", x, layer.out, {.window = Window::square(layer.kernel)}));
  }
  g.observe(x, "out");
  g.set_output(layer.pool ? g.max_pool("pool", x, Window::square(2, 2)) : x);
  g.seed_weights(7);
  return g;
}

// Non-negative inputs, as behind a ReLU.
Tensor input_of(const Layer& layer) {
  Tensor input(DType::f32, Shape{1, layer.in, layer.height, layer.width});
  std::uint64_t state = 1;
  for (float& value : input.span<float>()) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    value = static_cast<float>(state >> 40) * 0x1p-24f;
  }
  return input;
}

Tensor output_of(const Program& program) {
  std::vector<std::int64_t> shape{1};
  for (const std::int64_t d : program.output_like.shape().dims()) shape.push_back(d);
  return Tensor(DType::f32, Shape(shape));
}

struct Prepared {
  Tensor input;
  QGraph network;
  Tensor expected;  // of the reference
};

Prepared prepare(const Layer& layer, ThreadPool& pool, bool integer) {
  const Graph graph = network_of(layer);
  Prepared p{.input = input_of(layer)};
  // Inputs within [0, 127], so that every kernel may take part (avx2's needs that proof).
  calib::Calibrator calibrator(graph, {.range = {.scheme = calib::Scheme::affine, .reduce_range = true}, .batch = 1},
                               pool);
  calibrator.observe(p.input);
  p.network = integer ? calib::quantise(graph, calibrator.ranges()) : calib::as_float(graph);
  const auto program = kernels::plan(p.network, {.isa = kernels::Isa::reference});
  p.expected = output_of(*program);
  Context(program, pool).run(p.input, p.expected);
  return p;
}

void validate(const Prepared& p, const Tensor& result, bool integer, const std::string& name) {
  const auto got = result.span<float>(), wanted = p.expected.span<float>();
  for (std::size_t i = 0; i < got.size(); ++i) {
    // Floats: the sums differ in their order only; 1e-4 of a value near 1 is far above that and far below a wrong one.
    const bool equal =
        integer ? got[i] == wanted[i] : std::abs(got[i] - wanted[i]) <= 1e-4f * (1 + std::abs(wanted[i]));
    require(equal, "{}: element {} is {}, the reference has {}", name, i, got[i], wanted[i]);
  }
}

void time_layer(benchmark::State& state, const Layer& layer, kernels::Isa isa, bool integer) {
  static ThreadPool pool(1);
  const Prepared p = prepare(layer, pool, integer);
  const auto program = kernels::plan(p.network, {.isa = isa});
  for (const Step& step : program->steps) {
    if (step.name == "layer") state.SetLabel(step.variant);
  }
  Context context(program, pool);
  Tensor output = output_of(*program);
  context.run(p.input, output);
  validate(p, output, integer, fmt::format("{} at {}", layer.name, name_of(isa)));
  std::int64_t macs = 0;
  for (const QNode& node : p.network.nodes) macs += node.macs;
  for (auto _ : state) {
    std::chrono::duration<double> taken{0};
    context.run_timed(p.input, output, [&](std::size_t step, const std::function<void()>& execute) {
      const auto start = std::chrono::steady_clock::now();
      execute();
      if (program->steps[step].name == "layer") taken = std::chrono::steady_clock::now() - start;
    });
    state.SetIterationTime(taken.count());
  }
  state.counters["GOP/s"] =
      benchmark::Counter(2e-9 * static_cast<double>(macs), benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  try {
    for (const bool integer : {true, false}) {
      for (const Layer& layer : kLayers) {
        for (const kernels::Isa isa : kernels::available_isas()) {
          if (isa == kernels::Isa::reference) continue;
          const std::string name = fmt::format("{}/{}/{}", integer ? "int8" : "fp32", layer.name, name_of(isa));
          benchmark::RegisterBenchmark(
              name.c_str(), [&layer, isa, integer](benchmark::State& state) { time_layer(state, layer, isa, integer); })
              ->UseManualTime()
              ->Unit(benchmark::kMicrosecond);
        }
      }
    }
    benchmark::RunSpecifiedBenchmarks();
  } catch (const Error& e) {
    fmt::print(stderr, "bench_kernels: {}\n", e.what());
    return 1;
  }
  return 0;
}
