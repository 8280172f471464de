#include "examples/octet/bench_points.h"

#include <chrono>
#include <map>

#include "examples/common/terminal.h"
#include "examples/octet/roofs.h"
#include "models/centerpoint/seeded.h"
#include "runtime/error.h"

namespace octet::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kLeastRuns = 5, kWarmUp = 2;
constexpr double kSeconds = 3;

// Points in the middle of the voxels of a made-up frame.
Tensor made_up_points(const models::CenterPointConfig& config, std::uint64_t seed) {
  const SparseTensor frame = models::made_up_frame(config.grid(), config, seed);
  Tensor points = frame.features.clone();
  const auto values = points.span<float>();
  for (std::size_t i = 0; i < frame.keys.size(); ++i) {
    const Cell cell = cell_of(frame.grid, frame.keys[i]);
    const std::int64_t at[3] = {cell.x, cell.y, cell.z};
    for (std::size_t axis = 0; axis < 3; ++axis) {
      values[i * 5 + axis] =
          static_cast<float>(config.range[axis] + (static_cast<double>(at[axis]) + 0.5) * config.voxel[axis]);
    }
  }
  return points;
}

// The multiplications of a step on the detector's last frame: of a sparse convolution those whose neighbour is there.
Step counted(const models::Detector& detector, Step step) {
  if (step.rulebook < 0) return step;
  const auto channels = [&](int slot) { return detector.program().slots[static_cast<std::size_t>(slot)].view.c; };
  step.macs = detector.geometry()->rulebook(step.rulebook).pairs() * channels(step.inputs[0]) * channels(step.output);
  return step;
}

// Median milliseconds of every step of the network on the detector's last frame, its operations a second, and how near
// that is to the peak of the kernel's instruction set.
json measure_layers(models::Detector& detector, int threads) {
  const Program& program = detector.program();
  const kernels::Limits limits = kernels::measure_limits();
  Tensor maps = detector.context().host_tensor(
      DType::f32,
      Shape{1, program.output_like.shape()[0], program.output_like.shape()[1], program.output_like.shape()[2]});
  std::vector<std::vector<double>> times(program.steps.size());
  for (int i = 0; i < kLeastRuns; ++i) {
    detector.context().run_timed(detector.voxels(), maps, [&](std::size_t step, const std::function<void()>& execute) {
      const auto before = Clock::now();
      execute();
      times[step].push_back(std::chrono::duration<double, std::milli>(Clock::now() - before).count());
    });
  }
  json layers = json::array();
  for (std::size_t i = 0; i < times.size(); ++i) {
    const Step step = counted(detector, program.steps[i]);
    const Roof roof = roof_of(program, step, limits, threads);
    const double ms = examples::percentile(times[i], 50);
    const double gops = ms > 0 ? 1e-6 * static_cast<double>(roof.ops) / ms : 0;
    const bool multiplies = roof.ops > 0 && roof.peak > 0;
    layers.push_back({{"name", step.name},
                      {"variant", step.variant},
                      {"ms", ms},
                      {"macs", roof.ops / 2},
                      {"gops", gops},
                      {"share_of_peak", multiplies ? json(gops * 1e9 / roof.peak) : json()}});
  }
  return layers;
}

}  // namespace

void add_bench_points_flags(CLI::App& app, BenchPoints& f) {
  app.add_option("--frame", f.frame, "for networks that take points: the frame to run; default: a made-up one");
  add_point_format_flags(app, f.format);
}

int bench_points(const Common& common, const models::LoadedModel& model, const BenchPoints& flags, int runs,
                 bool per_layer) {
  const auto pool = make_pool(common);
  models::Detector detector(model, *pool);
  const Tensor points = flags.frame.empty() ? made_up_points(*model.points, seed_of(common))
                                            : load_frame(common, flags.format, flags.frame).points;
  std::map<std::string, std::vector<double>> stages;
  std::vector<std::string> order;
  std::vector<double> totals;
  models::Detection last;
  const auto start = Clock::now();
  for (int i = -kWarmUp; i < (runs > 0 ? runs : 100'000); ++i) {
    last = detector.run(points);
    if (i < 0) continue;
    totals.push_back(last.total_ms());
    for (const auto& [name, ms] : last.stages_ms) {
      if (!stages.contains(name)) order.push_back(name);
      stages[name].push_back(ms);
    }
    const bool enough = std::chrono::duration<double>(Clock::now() - start).count() > kSeconds;
    if (runs == 0 && i + 1 >= kLeastRuns && enough) break;
  }
  json result{{"model", model.name},
              {"batch", 1},
              {"threads", pool->threads()},
              {"precision", name_of(model.precision)},
              {"device", detector.program().device},
              {"kernel_isa", detector.program().isa},
              {"latency_ms_median", examples::percentile(totals, 50)},
              {"latency_ms_p90", examples::percentile(totals, 90)},
              {"latency_ms_p99", examples::percentile(totals, 99)},
              {"runs", totals.size()},
              {"peak_bytes", peak_bytes()},
              {"seeded", model.seeded},
              {"points", last.voxels.points},
              {"voxels", last.voxels.voxels},
              {"boxes", last.boxes.size()}};
  for (const std::string& name : order) result["stages_ms"][name] = examples::percentile(stages[name], 50);
  if (per_layer) {  // all of them: the detector above computes some only in places
    models::Detector whole(model, *pool, true);
    (void)whole.run(points);
    result["layers"] = measure_layers(whole, pool->threads());
  }
  if (common.json) {
    print_json(result);
    return 0;
  }
  examples::Table table({"stage", "median ms"});
  for (const std::string& name : order)
    table.add({name, fmt::format("{:.2f}", result["stages_ms"][name].get<double>())});
  table.add({"frame", fmt::format("{:.2f}", result["latency_ms_median"].get<double>())});
  fmt::print("{} in {}, {} threads, {} {}: {} points, {} voxels, {} boxes; {} runs\n{}", model.name,
             name_of(model.precision), pool->threads(), detector.program().device, detector.program().isa,
             last.voxels.points, last.voxels.voxels, last.boxes.size(), totals.size(), table.str());
  if (!per_layer) return 0;
  examples::Table layers({"layer", "kernel", "ms", "GOP/s", "of peak"});
  for (const json& l : result["layers"]) {
    const json& share = l["share_of_peak"];
    layers.add({l["name"], l["variant"], fmt::format("{:.3f}", l["ms"].get<double>()),
                fmt::format("{:.1f}", l["gops"].get<double>()),
                share.is_null() ? "-" : fmt::format("{:.1f} %", 100 * share.get<double>())});
  }
  fmt::print("\n{}", layers.str());
  return 0;
}

}  // namespace octet::cli
