// centerpoint: points in, boxes out. What `octet run centerpoint` does, step by step, to be read:
//
//     centerpoint FRAME.f32x5.bin [--weights epoch_20.pth] [--ranges ranges.json] [--picture frame.svg]
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "calib/quantise.h"
#include "examples/common/terminal.h"
#include "kernels/plan/plan.h"
#include "models/centerpoint/detector.h"
#include "models/centerpoint/picture.h"
#include "models/centerpoint/seeded.h"
#include "models/data_files.h"
#include "runtime/error.h"
#include "runtime/io/points.h"
#include "runtime/io/weights.h"

using namespace octet;
using namespace octet::models;

namespace {

struct Options {
  std::vector<std::string> frames;
  std::string weights, ranges, picture, config = "{}";
  bool fp32 = false;
  int threads = 0;
};

// The float network, with the weights of a checkpoint, the shipped ones, or, where there are none, seeded ones.
Graph load_network(Options& o, const CenterPointConfig& config) {
  Graph graph = centerpoint(config);
  if (o.weights.empty() && same_scale(config, {})) {
    if (const auto shipped = shipped_weights("centerpoint")) {
      o.weights = shipped->string();
      if (const auto ranges = shipped_file("centerpoint/ranges.json"); ranges && o.ranges.empty())
        o.ranges = ranges->string();
    }
  }
  if (o.weights.empty()) {
    fmt::print(
        "No weights given, none shipped for this configuration: seeded (random) ones; the boxes mean nothing.\n");
    seed_centerpoint(graph, config, 1);
  } else {
    graph.load(in_graph_layout(read_state_dict(o.weights), graph));
  }
  return graph;
}

// Batch-norms folded, weights and activations as integers; or, with --fp32, nothing but folded.
QGraph quantise_network(const Options& o, const CenterPointConfig& config, const Graph& graph) {
  if (o.fp32) return calib::as_float(graph);
  require(o.weights.empty() || !o.ranges.empty(), "INT8 needs --ranges for these weights (octet calibrate), or --fp32");
  return calib::quantise(graph,
                         o.ranges.empty() ? seeded_centerpoint_ranges(graph, config, 1) : calib::load_ranges(o.ranges));
}

void print_boxes(const CenterPointConfig& config, const std::vector<Box>& boxes) {
  const std::vector<std::string> labels = config.labels();
  examples::Table table({"label", "score", "x", "y", "z", "length", "width", "height", "speed"});
  for (const Box& b : boxes) {
    const auto metres = [](double v) { return fmt::format("{:.2f}", v); };
    table.add({labels[static_cast<std::size_t>(b.label)], fmt::format("{:.3f}", b.score), metres(b.x), metres(b.y),
               metres(b.z), metres(b.dy), metres(b.dx), metres(b.dz), metres(std::hypot(b.vx, b.vy))});
  }
  fmt::print("{}", table.str());
}

int run(Options& o) {
  const CenterPointConfig config = centerpoint_config(o.config, "--config");
  const Graph graph = load_network(o, config);
  const auto program = kernels::plan(quantise_network(o, config, graph), {.sites = config.max_voxels});
  ThreadPool pool(o.threads > 0 ? o.threads : available_threads());
  Context context(program, pool);
  kernels::Voxeliser voxeliser(voxel_options(config));
  SparseTensor voxels;
  Tensor maps(DType::f32, Shape{1, head_maps(config).channels, config.map_height(), config.map_width()});

  for (const std::string& frame : o.frames) {
    require(!std::filesystem::is_directory(frame),
            "{}: a folder; name its frames one by one (octet run centerpoint takes "
            "folders)",
            frame);
    const PointCloud cloud = read_points(frame);
    voxeliser.run(cloud.points.span<float>(), 5, pool, voxels);  // points -> [voxels, 5], in ascending order
    std::vector<Box> boxes;
    DecodeCounts counts;
    if (voxels.rows() > 0) {
      context.run(voxels, maps);  // the network: sparse encoder, neck, heads
      boxes = boxes_of(maps.span<float>(), config, counts);
    }
    fmt::print("{}: {} points, {} voxels, {} candidates, {} boxes\n", frame, cloud.count(), voxels.rows(),
               counts.candidates, boxes.size());
    print_boxes(config, boxes);
    if (!o.picture.empty()) save_picture({.config = config, .points = cloud.points, .boxes = boxes}, o.picture);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"3D boxes in LiDAR frames, in INT8 or FP32", "centerpoint"};
  Options o;
  app.add_option("FRAME", o.frames, "points: NAME.f32x5.bin, .f32x4.bin, .fp16x5.bin, .fp16x4.bin or .pcd.bin")
      ->required();
  app.add_option("--weights", o.weights, "a PyTorch checkpoint or .safetensors; default: the shipped ones");
  app.add_option("--ranges", o.ranges, "ranges.json from octet calibrate");
  app.add_option("--config", o.config, "the grid, limits and classes: {\"preset\": \"0.1\"}");
  app.add_option("--picture", o.picture, "draw the (last) frame from above: F.svg or F.png");
  app.add_flag("--fp32", o.fp32, "run in floats");
  app.add_option("--threads", o.threads, "0: all processors")->check(CLI::Range(0, 1024));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  return examples::guarded("centerpoint", [&] { return run(o); });
}
