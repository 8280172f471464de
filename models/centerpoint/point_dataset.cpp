#include "models/centerpoint/point_dataset.h"

#include <algorithm>
#include <map>

#include "calib/quantise.h"
#include "models/centerpoint/detector.h"
#include "models/data_files.h"
#include "runtime/error.h"
#include "runtime/io/points.h"

namespace octet::models {
namespace {

namespace fs = std::filesystem;
using Files = std::vector<fs::path>;

constexpr int kFeatures = 5;

SparseTensor voxels_of(const fs::path& file, const CenterPointConfig& config, ThreadPool& pool) {
  kernels::Voxeliser voxeliser(voxel_options(config));
  SparseTensor voxels;
  voxeliser.run(read_points(file).points.span<float>(), kFeatures, pool, voxels);
  require(voxels.rows() > 0, "{}: no point in range, so it says nothing about any layer", file.string());
  return voxels;
}

// The maps of all frames, one after another; `each` may watch the edges.
std::vector<float> maps_of(const QGraph& network, const std::vector<SparseTensor>& frames, ThreadPool& pool,
                           const Context::Hook* hook = nullptr) {
  kernels::PlanOptions options;
  options.keep_edges = hook != nullptr;
  const auto program = kernels::plan(network, options);
  Context context(program, pool);
  const Shape& s = program->output_like.shape();
  Tensor maps(DType::f32, Shape{1, s[0], s[1], s[2]});
  std::vector<float> all;
  for (const SparseTensor& frame : frames) {
    context.run(frame, maps, hook);
    const auto values = maps.span<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

class FrameScorer final : public Scorer {
 public:
  FrameScorer(const Graph& graph, const CenterPointConfig& config, std::vector<SparseTensor> frames, ThreadPool& pool)
      : config_(config), frames_(std::move(frames)), pool_(pool) {
    reference_ = maps_of(calib::as_float(graph), frames_, pool_);
  }

  calib::Measurement measure(const QGraph& network) override {
    const std::vector<float> maps = maps_of(network, frames_, pool_);
    calib::Measurement m;
    m.agreement = agreement(maps);
    m.sqnr_db = sqnr_db(reference_, maps);
    m.cosine = cosine(reference_, maps);
    return m;
  }

  // Of the first frame.
  std::vector<EdgeNoise> edge_noise(const Graph& graph, const calib::Ranges& ranges) override {
    const QGraph real = calib::as_float(calib::float_form(graph, ranges)), integer = calib::quantise(graph, ranges);
    const auto a = edges_of(real), b = edges_of(integer);
    std::vector<EdgeNoise> noise;
    for (const calib::EdgeRange& range : ranges.edges) {
      const auto edge = std::ranges::find(real.edges, range.observer, &QEdge::observer);
      if (edge == real.edges.end() || !a.contains(edge->name) || !b.contains(edge->name)) continue;
      const auto &reference = a.at(edge->name), &other = b.at(edge->name);
      if (reference.size() == other.size()) noise.push_back({range.observer, sqnr_db(reference, other)});
    }
    return noise;
  }

 private:
  // Of all cells and tasks, the share (percent) in which the best class is the same.
  double agreement(const std::vector<float>& maps) const {
    const HeadMaps heads = head_maps(config_);
    const auto cells = static_cast<std::size_t>(config_.map_width() * config_.map_height());
    const std::size_t size = cells * static_cast<std::size_t>(heads.channels);
    std::int64_t same = 0, all = 0;
    for (std::size_t frame = 0; frame < frames_.size(); ++frame) {
      for (const TaskMaps& task : heads.tasks) {
        const auto best = [&](const std::vector<float>& of, std::size_t cell) {
          int winner = 0;
          const auto logit = [&](int c) {
            return of[frame * size + static_cast<std::size_t>(task.hm + c) * cells + cell];
          };
          for (int c = 1; c < task.classes; ++c) winner = logit(c) > logit(winner) ? c : winner;
          return winner;
        };
        for (std::size_t cell = 0; task.classes > 1 && cell < cells; ++cell, ++all) {
          same += best(reference_, cell) == best(maps, cell);
        }
      }
    }
    return all == 0 ? 100.0 : 100.0 * static_cast<double>(same) / static_cast<double>(all);
  }

  // Every edge by name: reals, or integers as the reals they stand for (which then win).
  std::map<std::string, std::vector<float>> edges_of(const QGraph& network) {
    std::map<std::string, std::vector<float>> edges;
    const Context::Hook hook = [&](EdgeId id, const View& v) {
      const QEdge& edge = network.edges[static_cast<std::size_t>(id)];
      std::vector<float>& values = edges[edge.name];
      values.clear();
      for (std::int64_t y = 0; y < v.h; ++y) {
        for (std::int64_t x = 0; x < v.w; ++x) {
          for (std::int64_t c = 0; c < v.c; ++c) values.push_back(real_of(edge, v, y, x, c));
        }
      }
    };
    maps_of(network, {frames_.front()}, pool_, &hook);
    return edges;
  }
  static float real_of(const QEdge& edge, const View& v, std::int64_t y, std::int64_t x, std::int64_t c) {
    if (v.type == DType::f32) return *v.at<float>(0, y, x, c);
    const std::int32_t q = v.type == DType::s16  ? *v.at<std::int16_t>(0, y, x, c)
                           : v.type == DType::u8 ? *v.at<std::uint8_t>(0, y, x, c)
                                                 : *v.at<std::int8_t>(0, y, x, c);
    return edge.quant.step * static_cast<float>(q - edge.quant.zero);
  }

  CenterPointConfig config_;
  std::vector<SparseTensor> frames_;
  ThreadPool& pool_;
  std::vector<float> reference_;
};

class FrameDataset final : public Dataset {
 public:
  FrameDataset(Files files, const CenterPointConfig& config) : files_(std::move(files)), config_(config) {}

  const char* noun() const override { return "frame"; }
  Files files() const override { return files_; }
  std::unique_ptr<Dataset> subset(std::span<const std::size_t> indices) const override {
    Files chosen;
    for (const std::size_t i : indices) chosen.push_back(files_.at(i));
    return std::make_unique<FrameDataset>(std::move(chosen), config_);
  }
  kernels::PlanOptions plan_options() const override { return {}; }
  int most_at_once() const override { return 1; }

  // One frame after another: maps of the official size take hundreds of megabytes in floats.
  Score observe(calib::Calibrator& calibrator, std::int64_t first, std::int64_t count) const override {
    ThreadPool pool(1);
    for (std::int64_t i = first; i < first + count; ++i) {
      calibrator.observe(voxels_of(files_.at(static_cast<std::size_t>(i)), config_, pool));
    }
    return {};
  }

  std::unique_ptr<Scorer> scorer(const Graph& graph, ThreadPool& pool, int,
                                 const DatasetProgress& progress) const override {
    std::vector<SparseTensor> frames;
    for (const fs::path& file : files_) {
      frames.push_back(voxels_of(file, config_, pool));
      if (progress) progress(static_cast<std::int64_t>(frames.size()), count());
    }
    return std::make_unique<FrameScorer>(graph, config_, std::move(frames), pool);
  }

 private:
  Files files_;
  CenterPointConfig config_;
};

}  // namespace

std::unique_ptr<Dataset> open_frames(const LoadedModel& model, const fs::path& folder, const PhotoSetOptions& options) {
  require(model.points.has_value(), "{} takes photos, not points", model.name);
  require(!options.labels, "{}: frames of points have no labels here", options.labels->string());
  Files files = list_point_files(folder, false);
  files = selected_files(std::move(files), options.skip, options.limit, fmt::format("frames in {}", folder.string()));
  return std::make_unique<FrameDataset>(std::move(files), *model.points);
}

}  // namespace octet::models
