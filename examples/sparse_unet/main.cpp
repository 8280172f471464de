// A sparse U-Net, whole in this one file: a network that is not CenterPoint on the same sparse convolutions. It goes
// down two resolutions with strided convolutions and comes back up with inverse ones, which restore exactly the sites
// that were there before, so that what was kept on the way down can be joined to what comes up:
//
//     points -> voxels -> stem ------------------------------------------ concat -> scores -> map
//                          \                                              /
//                          down1 -> middle ----------------- add -> up1 -
//                                     \                      /
//                                     down2 -> bottom -> up2
//
//     sparse_unet [FRAME.f32x5.bin]        without a frame: a made-up one
//
// It is calibrated on its frame, turned into integers, and compared with its float form, site by site.
#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include "calib/calibrate.h"
#include "calib/quantise.h"
#include "examples/common/terminal.h"
#include "kernels/plan/plan.h"
#include "kernels/voxelise.h"
#include "models/centerpoint/seeded.h"
#include "runtime/error.h"
#include "runtime/io/points.h"

using namespace octet;

namespace {

constexpr int kFeatures = 5, kClasses = 4;
constexpr SparseGrid kGrid{10, 256, 256};
constexpr double kVoxel = 0.4, kVoxelHeight = 0.8, kReach = 51.2, kLowest = -5.0;  // metres

// --- the network -----------------------------------------------------------------------------------------------------

Graph unet() {
  Graph g("sparse_unet");
  const auto norm_relu = [&](EdgeId conv, const std::string& name) {
    return g.observe(g.relu(name + ".relu", g.batch_norm(name + ".bn", conv)), name);
  };
  const auto same = [&](EdgeId x, const std::string& name, int channels) {
    return norm_relu(g.sparse_conv(name, x, channels, {.submanifold = true, .bias = false}), name);
  };
  const auto down = [&](EdgeId x, const std::string& name, int channels) {
    const SparseConvOptions halve{.stride = {2, 2, 2}, .padding = {1, 1, 1}, .bias = false};
    return norm_relu(g.sparse_conv(name, x, channels, halve), name);
  };
  const auto up = [&](EdgeId x, const std::string& name, int channels, const std::string& undoes) {
    return norm_relu(g.inverse_sparse_conv(name, x, channels, undoes, false), name);
  };
  const EdgeId points = g.observe(g.sparse_input("points", kFeatures, kGrid), "points");
  const EdgeId fine = same(points, "stem", 32);
  const EdgeId middle = same(down(fine, "down1", 64), "middle", 64);
  const EdgeId bottom = same(down(middle, "down2", 96), "bottom", 96);
  const EdgeId joined = g.observe(g.add("add", {up(bottom, "up2", 64, "down2"), middle}), "add");
  const EdgeId last = g.observe(g.concat("concat", {up(joined, "up1", 32, "down1"), fine}), "concat");
  const EdgeId scores = g.observe(g.sparse_conv("scores", last, kClasses, {.kernel = {1, 1, 1}}), "scores");
  g.set_output(g.to_dense("map", scores));
  g.validate_structure();
  g.seed_weights(1);
  return g;
}

SparseTensor voxels_of(const std::string& path, ThreadPool& pool) {
  if (path.empty()) return models::made_up_frame(kGrid, {}, 1);
  kernels::VoxelOptions options;
  options.low = {-kReach, -kReach, kLowest}, options.size = {kVoxel, kVoxel, kVoxelHeight}, options.grid = kGrid;
  kernels::Voxeliser voxeliser(options);
  SparseTensor frame;
  voxeliser.run(read_points(path).points.span<float>(), kFeatures, pool, frame);
  require(frame.rows() > 0, "{}: no point within {} m", path, kReach);
  return frame;
}

// --- trying it -------------------------------------------------------------------------------------------------------

struct Result {
  Tensor map;
  double milliseconds = 0;  // best of a few runs
  std::vector<std::int64_t> sites;
};

Result run_network(const QGraph& network, const SparseTensor& frame, ThreadPool& pool) {
  const auto program = kernels::plan(network, {});
  Context context(program, pool);
  const Shape& s = program->output_like.shape();
  Result result{.map = Tensor(DType::f32, Shape{1, s[0], s[1], s[2]}), .milliseconds = 1e9};
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    context.run(frame, result.map);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    result.milliseconds = std::min(result.milliseconds, took.count());
  }
  for (int level = 0; level < static_cast<int>(program->sparse.levels().size()); ++level)
    result.sites.push_back(context.geometry()->rows(level));
  return result;
}

int run(const std::string& path) {
  ThreadPool pool(available_threads());
  const SparseTensor frame = voxels_of(path, pool);
  const Graph graph = unet();
  calib::Calibrator calibrator(graph, {}, pool);
  calibrator.observe(frame);
  const QGraph integers = calib::quantise(graph, calibrator.ranges());
  const Result real = run_network(calib::as_float(graph), frame, pool);
  const Result quantised = run_network(integers, frame, pool);

  double signal = 0, noise = 0;
  const auto a = real.map.span<float>(), b = quantised.map.span<float>();
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double error = static_cast<double>(a[i]) - b[i];
    signal += static_cast<double>(a[i]) * a[i], noise += error * error;
  }
  examples::Table levels({"grid", "sites"});
  const SparsePlan& plan = graph.sparse_plan();
  for (std::size_t i = 0; i < real.sites.size(); ++i)
    levels.add({plan.levels()[i].grid.str(), std::to_string(real.sites[i])});
  fmt::print("{}\nFP32 {:.1f} ms, INT8 {:.1f} ms, {} threads; INT8 against FP32: {:.1f} dB\n", levels.str(),
             real.milliseconds, quantised.milliseconds, pool.threads(), 10 * std::log10(signal / noise));
  require(noise < 0.01 * signal, "the integer network is not the float one");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return examples::guarded("sparse_unet", [&] { return run(argc > 1 ? argv[1] : ""); });
}
