// octet bench: latency of whole batches, host call to host-visible result.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <numeric>

#include "examples/common/terminal.h"
#include "examples/octet/bench_points.h"
#include "examples/octet/cli.h"
#include "examples/octet/roofs.h"
#include "runtime/error.h"

namespace octet::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  Common common;
  int batch = 1;
  int runs = 0;  // 0: for about a second
  bool per_layer = false, limits = false;
  BenchPoints points;
};

constexpr int kInputs = 8;   // different inputs in turn: no run may profit from the one before
constexpr int kWarmUp = 10;  // caches, page faults, the pool's first wake-up
constexpr int kMinRuns = 50;
constexpr int kMaxRuns = 100'000;

double milliseconds(Clock::duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

std::vector<Tensor> make_inputs(const Program& program, const Context& context, std::uint64_t seed) {
  std::vector<Tensor> inputs;
  const auto dims = program.input_like.shape().dims();
  std::vector<std::int64_t> shape{program.batch};
  shape.insert(shape.end(), dims.begin(), dims.end());
  for (int i = 0; i < kInputs; ++i) {
    inputs.push_back(context.host_tensor(DType::u8, Shape(shape)));
    for (std::uint8_t& value : inputs.back().span<std::uint8_t>()) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      value = static_cast<std::uint8_t>(seed >> 56);
    }
  }
  return inputs;
}

std::vector<double> measure(const Options& o, Context& context, const std::vector<Tensor>& inputs, Tensor& output) {
  for (int i = 0; i < kWarmUp; ++i) context.run(inputs[static_cast<std::size_t>(i % kInputs)], output);
  std::vector<double> times;
  const auto start = Clock::now();
  for (int i = 0; i < (o.runs > 0 ? o.runs : kMaxRuns); ++i) {
    const auto before = Clock::now();
    context.run(inputs[static_cast<std::size_t>(i % kInputs)], output);
    const auto after = Clock::now();
    times.push_back(milliseconds(after - before));
    if (o.runs == 0 && i + 1 >= kMinRuns && after - start > std::chrono::seconds(1)) break;
  }
  return times;
}

// Median time of each step over a few runs.
std::vector<double> measure_layers(Context& context, const Program& program, const std::vector<Tensor>& inputs,
                                   Tensor& output) {
  std::vector<std::vector<double>> times(program.steps.size());
  for (int i = 0; i < kMinRuns; ++i) {
    context.run_timed(inputs[static_cast<std::size_t>(i % kInputs)], output,
                      [&](std::size_t step, const std::function<void()>& execute) {
                        const auto before = Clock::now();
                        execute();
                        times[step].push_back(milliseconds(Clock::now() - before));
                      });
  }
  std::vector<double> medians;
  for (auto& list : times) medians.push_back(examples::percentile(std::move(list), 50));
  return medians;
}

json layers_json(const Program& program, const std::vector<double>& medians, const kernels::Limits& limits,
                 int threads) {
  json layers = json::array();
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    const Roof roof = roof_of(program, step, limits, threads);
    const double ms = medians[i], gops = ms > 0 ? 1e-6 * static_cast<double>(roof.ops) / ms : 0;
    json layer{{"name", step.name}, {"variant", step.variant}, {"ms", ms},           {"macs", roof.ops / 2},
               {"gops", gops},      {"bytes", roof.bytes},     {"limit", roof.limit}};
    const bool multiplies = roof.ops > 0 && roof.peak > 0;
    layer["share_of_peak"] = multiplies ? json(gops * 1e9 / roof.peak) : json();
    layer["roof_ms"] = roof.milliseconds;
    layer["share_of_roof"] = ms > 0 ? roof.milliseconds / ms : 0;
    layers.push_back(std::move(layer));
  }
  return layers;
}

std::string percent(const json& share) {
  return share.is_null() ? "-" : fmt::format("{:.1f} %", 100 * share.get<double>());
}

void print_layers(const json& layers) {
  double sum = 0, roofs = 0;
  for (const json& l : layers) sum += l["ms"].get<double>(), roofs += l["roof_ms"].get<double>();
  examples::Table table({"layer", "kernel", "ms", "share", "GOP/s", "of peak", "limit", "of limit"});
  for (const json& l : layers) {
    table.add({l["name"], l["variant"], fmt::format("{:.4f}", l["ms"].get<double>()),
               percent(l["ms"].get<double>() / sum), fmt::format("{:.1f}", l["gops"].get<double>()),
               percent(l["share_of_peak"]), l["limit"], percent(l["share_of_roof"])});
  }
  fmt::print("\n{}\nall layers: {:.3f} ms", table.str(), sum);
  if (roofs > 0) fmt::print("; at their limits they would take {:.3f} ms, {:.1f} % of that", roofs, 100 * roofs / sum);
  fmt::print("\n");
}

int limits_alone(const Options& o) {
  const json limits = limits_json(kernels::measure_limits());
  if (o.common.json) {
    print_json({{"limits", limits}});
  } else {
    print_limits(limits);
  }
  return 0;
}

int run(const Options& o) {
  if (o.common.model.empty()) return limits_alone(o);
  const models::LoadedModel model = load(o.common);
  if (model.points) return bench_points(o.common, model, o.points, o.runs, o.per_layer);
  const auto program = kernels::plan(model.network, plan_options(o.common, model, o.batch));
  const auto pool = make_pool(o.common);
  Context context(program, *pool);
  const std::vector<Tensor> inputs = make_inputs(*program, context, seed_of(o.common));
  const auto dims = program->output_like.shape().dims();
  std::vector<std::int64_t> shape{program->batch};
  shape.insert(shape.end(), dims.begin(), dims.end());
  Tensor output(DType::f32, Shape(shape));

  const std::vector<double> times = measure(o, context, inputs, output);
  const std::int64_t memory = peak_bytes();  // before the limits are measured: those read a buffer larger than L3
  json layers, limits;
  if (o.per_layer || o.limits) {
    const kernels::Limits measured = kernels::measure_limits();
    limits = limits_json(measured);
    if (o.per_layer)
      layers = layers_json(*program, measure_layers(context, *program, inputs, output), measured, pool->threads());
  }
  const double median = examples::percentile(times, 50), p90 = examples::percentile(times, 90),
               p99 = examples::percentile(times, 99);
  if (o.common.json) {
    json result{{"model", model.name},         {"batch", o.batch},
                {"threads", pool->threads()},  {"precision", name_of(model.precision)},
                {"device", program->device},   {"kernel_isa", program->isa},
                {"latency_ms_median", median}, {"latency_ms_p90", p90},
                {"latency_ms_p99", p99},       {"runs", times.size()},
                {"peak_bytes", memory},        {"seeded", model.seeded}};
    if (o.per_layer) result["layers"] = layers;
    if (o.limits) result["limits"] = limits;
    print_json(result);
    return 0;
  }
  examples::Table table({"model", "precision", "batch", "threads", "device", "median ms", "p90", "p99", "peak memory"});
  table.add({model.name, name_of(model.precision), std::to_string(o.batch), std::to_string(pool->threads()),
             program->device + " " + program->isa, fmt::format("{:.3f}", median), fmt::format("{:.3f}", p90),
             fmt::format("{:.3f}", p99), examples::human_bytes(memory)});
  fmt::print("{}", table.str());
  if (o.per_layer) print_layers(layers);
  if (o.limits) print_limits(limits);
  return 0;
}

}  // namespace

std::int64_t peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  }
  return 0;
}

Command add_bench(CLI::App& app) {
  CLI::App* command = app.add_subcommand("bench", "measure latency");
  auto o = std::make_shared<Options>();
  add_common(*command, o->common);
  command->add_option("--batch", o->batch, "photos a run")->check(CLI::Range(1, 4096))->capture_default_str();
  command->add_option("--runs", o->runs, "0: as many as fit into a second, at least 50")->check(CLI::Range(0, 100000));
  command->add_flag("--per-layer", o->per_layer, "time every layer too, and say how far it is from its limit");
  command->add_flag("--limits", o->limits, "measure what one core can do at best; needs no MODEL");
  add_bench_points_flags(*command, o->points);
  command->get_option("MODEL")->required(false);
  command->callback([o] {
    if (o->common.model.empty() && !o->limits) throw CLI::RequiredError("MODEL");
  });
  return {command, [o] { return run(*o); }};
}

}  // namespace octet::cli
