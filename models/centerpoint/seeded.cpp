#include "models/centerpoint/seeded.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>

#include "calib/calibrate.h"
#include "calib/quantise.h"
#include "kernels/plan/plan.h"
#include "runtime/error.h"
#include "runtime/float_environment.h"
#include "runtime/program.h"

namespace octet::models {
namespace {

constexpr int kSmallCells = 320;  // of the made-up frame's grid along x and y: maps of 40 x 40
constexpr double kShare = 0.03;   // of a heat map's cells that score above the threshold
const std::string kShared = "bbox_head.shared_conv";

// What a seeded head's maps are like: mean and deviation. Heat maps follow kShare instead.
struct Target {
  const char* head;
  float mean, deviation;
};
constexpr Target kTargets[] = {{"reg", 0.5f, 0.2f}, {"height", -1.0f, 0.5f}, {"dim", 0.0f, 0.4f},
                               {"rot", 0.0f, 1.0f}, {"vel", 0.0f, 1.0f},     {"hm", 0.0f, 1.0f}};

class Generator {  // no std:: distributions: they differ between libraries
 public:
  explicit Generator(std::uint64_t seed) : engine_(seed) {}
  double unit() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  double between(double lo, double hi) { return lo + (hi - lo) * unit(); }
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(n)); }

 private:
  std::mt19937_64 engine_;
};

CenterPointConfig small_config(const CenterPointConfig& config) {
  CenterPointConfig small = config;
  for (std::size_t i = 0; i < 2; ++i) {
    const double half = kSmallCells / 2 * config.voxel[i];
    small.range[i] = -half, small.range[i + 3] = half;
  }
  return small;
}

// The same network on the small grid; parameters are shared with `graph`.
Graph small_graph(const Graph& graph, const CenterPointConfig& config) {
  Graph small = centerpoint(small_config(config));
  for (std::size_t i = 0; i < graph.nodes().size(); ++i)
    small.node(static_cast<int>(i)).parameters = graph.nodes()[i].parameters;
  return small;
}

Tensor& parameter(Graph& graph, const std::string& node, std::string_view key) {
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    if (graph.nodes()[i].name != node) continue;
    for (Parameter& p : graph.node(static_cast<int>(i)).parameters) {
      if (p.key == key) return p.value;
    }
  }
  fail("{}.{} does not exist", node, key);
}

using Wanted = std::set<std::string>;
// The float values of the edges named `wanted` when the made-up frame is run.
std::map<std::string, std::vector<float>> watch(const Graph& small, const SparseTensor& frame, const Wanted& wanted) {
  ThreadPool pool(1);
  const QGraph network = calib::as_float(small, false);
  kernels::PlanOptions options;
  options.keep_edges = true;
  const auto program = kernels::plan(network, options);
  Context context(program, pool);
  const Shape& out = program->output_like.shape();
  Tensor output(DType::f32, Shape{1, out[0], out[1], out[2]});
  std::map<std::string, std::vector<float>> seen;
  const Context::Hook hook = [&](EdgeId edge, const View& v) {
    const std::string& name = network.edges[static_cast<std::size_t>(edge)].name;
    if (!wanted.contains(name)) return;
    std::vector<float>& values = seen[name];
    for (std::int64_t y = 0; y < v.h; ++y) {
      for (std::int64_t x = 0; x < v.w; ++x) {
        for (std::int64_t c = 0; c < v.c; ++c) values.push_back(*v.at<float>(0, y, x, c));
      }
    }
  };
  context.run(frame, output, &hook);
  return seen;
}

struct Moments {
  double mean = 0, deviation = 0;
};
Moments moments_of(const std::vector<float>& values) {
  double sum = 0, squares = 0;
  for (const double v : values) sum += v, squares += v * v;
  const auto n = static_cast<double>(values.size());
  return {sum / n, std::sqrt(std::max(squares / n - sum / n * (sum / n), 1e-20))};
}

// The value that a share `share` of the others exceeds.
float upper_quantile(std::vector<float> values, double share) {
  const auto rank = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size()));
  std::ranges::nth_element(values, values.begin() + rank, std::greater<>());
  return values[static_cast<std::size_t>(rank)];
}

// Scales a head's last convolution and sets its bias, from what its map is now.
void fit_head(Graph& graph, const std::string& name, const Target& target, const std::vector<float>& map,
              float threshold) {
  const Moments now = moments_of(map);
  const auto scale = static_cast<float>(target.deviation / now.deviation);
  for (float& w : parameter(graph, name, "weight").span<float>()) w *= scale;
  float bias = target.mean - static_cast<float>(now.mean) * scale;
  if (std::string_view(target.head) == "hm") {
    const float limit = threshold > 0 ? std::log(threshold / (1 - threshold)) : -2.19f;
    bias = limit - upper_quantile(map, kShare) * scale;
  }
  for (float& b : parameter(graph, name, "bias").span<float>()) b = bias;
}

}  // namespace

SparseTensor made_up_frame(const SparseGrid& grid, const CenterPointConfig& config, std::uint64_t seed) {
  Generator random(seed);
  std::set<std::int64_t> keys;
  const double middle_y = static_cast<double>(grid.y) / 2, middle_x = static_cast<double>(grid.x) / 2;
  const auto add = [&](double z, double y, double x) {
    const auto iz = static_cast<std::int64_t>(std::floor(z)), iy = static_cast<std::int64_t>(std::floor(y)),
               ix = static_cast<std::int64_t>(std::floor(x));
    if (iz >= 0 && iz < grid.z && iy >= 0 && iy < grid.y && ix >= 0 && ix < grid.x)
      keys.insert(grid.key(0, iz, iy, ix));
  };
  // A sensor in the middle: as many points at each distance, so that they thin out as one over it.
  const double ground = static_cast<double>(grid.z) / 4, reach = std::hypot(middle_x, middle_y);
  const auto rays = static_cast<std::int64_t>(25 * (middle_x + middle_y));
  for (std::int64_t i = 0; i < rays; ++i) {
    const double angle = random.between(0, 6.283185307179586), far = random.between(8, reach);
    add(ground + random.between(0, 2), middle_y + far * std::sin(angle), middle_x + far * std::cos(angle));
  }
  for (std::int64_t wall = 0; wall < 10 + rays / 400;
       ++wall) {  // upright surfaces, seen as often as their angle is wide
    const double angle = random.between(0, 6.283185307179586), far = random.between(16, reach),
                 turn = random.between(0, 3.14);
    const double height = random.between(3, static_cast<double>(grid.z) / 2), length = random.between(6, 60);
    const auto points = static_cast<std::int64_t>(30 * length * height / far);
    for (std::int64_t i = 0; i < points; ++i) {
      const double along = random.between(0, length);
      add(ground + random.between(0, height), middle_y + far * std::sin(angle) + along * std::sin(turn),
          middle_x + far * std::cos(angle) + along * std::cos(turn));
    }
  }
  SparseTensor frame;
  frame.grid = grid;
  frame.keys.assign(keys.begin(), keys.end());
  frame.features = Tensor(DType::f32, Shape{frame.rows(), 5});
  const auto values = frame.features.span<float>();
  for (std::size_t i = 0; i < frame.keys.size(); ++i) {
    for (std::size_t axis = 0; axis < 3; ++axis) {
      values[i * 5 + axis] = static_cast<float>(random.between(config.range[axis] / 2, config.range[axis + 3] / 2));
    }
    values[i * 5 + 3] = static_cast<float>(255 * std::pow(random.unit(), 3));
    values[i * 5 + 4] = static_cast<float>(0.05 * static_cast<double>(random.below(10)));
  }
  return frame;
}

void seed_centerpoint(Graph& graph, const CenterPointConfig& config, std::uint64_t seed) {
  const FloatEnvironment environment;
  graph.seed_weights(seed);
  Graph small = small_graph(graph, config);  // shares its parameters' memory
  const SparseTensor frame = made_up_frame(small_config(config).grid(), config, seed);
  const Moments shared = moments_of(watch(small, frame, {kShared + ".0"})[kShared + ".0"]);
  for (float& v : parameter(graph, kShared + ".1", "running_var").span<float>()) {
    v = static_cast<float>(shared.deviation * shared.deviation);
  }
  Wanted last;
  const auto name_of = [](std::size_t task, const Target& t) {
    return fmt::format("bbox_head.tasks.{}.{}.3", task, t.head);
  };
  for (std::size_t task = 0; task < config.tasks.size(); ++task) {
    for (const Target& t : kTargets) last.insert(name_of(task, t));
  }
  const auto maps = watch(small, frame, last);
  for (std::size_t task = 0; task < config.tasks.size(); ++task) {
    for (const Target& t : kTargets)
      fit_head(graph, name_of(task, t), t, maps.at(name_of(task, t)), config.score_threshold);
  }
}

calib::Ranges seeded_centerpoint_ranges(const Graph& graph, const CenterPointConfig& config, std::uint64_t seed) {
  const Graph small = small_graph(graph, config);
  ThreadPool pool(1);
  calib::CalibrationOptions options;
  options.batch = 1;
  calib::Calibrator calibrator(small, options, pool);
  calibrator.observe(made_up_frame(small_config(config).grid(), config, seed));
  calib::Ranges ranges = calibrator.ranges();
  ranges.seeded = true;
  return ranges;
}

}  // namespace octet::models
