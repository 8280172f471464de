#include "models/centerpoint/point_dataset.h"

#include <algorithm>

#include "calib/quantise.h"
#include "models/centerpoint/detector.h"
#include "models/centerpoint/scored_frame.h"
#include "models/data_files.h"
#include "runtime/error.h"
#include "runtime/hash.h"
#include "runtime/io/points.h"

namespace octet::models {
namespace {

namespace fs = std::filesystem;
using Files = std::vector<fs::path>;

constexpr int kFeatures = 5;

constexpr std::size_t kMostCompared = 32;  // annotated frames whose maps are kept and compared: 9 MB each

SparseTensor voxels_of(const fs::path& file, const CenterPointConfig& config, ThreadPool& pool) {
  kernels::Voxeliser voxeliser(voxel_options(config));
  SparseTensor voxels;
  voxeliser.run(read_points(file).points.span<float>(), kFeatures, pool, voxels);
  return voxels;
}

// A network made ready for frame after frame.
class Runner {
 public:
  Runner(const QGraph& network, ThreadPool& pool, bool keep_edges = false) {
    kernels::PlanOptions options;
    options.keep_edges = keep_edges;
    program_ = kernels::plan(network, options);
    context_ = std::make_unique<Context>(program_, pool);
    const Shape& s = program_->output_like.shape();
    maps_ = Tensor(DType::f32, Shape{1, s[0], s[1], s[2]});
  }
  // The maps, until the next call.
  std::span<const float> run(const SparseTensor& frame, const Context::Hook* hook = nullptr) {
    context_->run(frame, maps_, hook);
    return maps_.span<float>();
  }

 private:
  std::shared_ptr<const Program> program_;
  std::unique_ptr<Context> context_;
  Tensor maps_;
};

// Frames are read again for every network: the voxels of a thousand would take gigabytes, and reading them a hundredth
// of the time that the network takes. What is kept is the float network's maps.
class FrameScorer final : public Scorer {
 public:
  FrameScorer(const Graph& graph, const CenterPointConfig& config, Files files, std::vector<Annotations> truth,
              ThreadPool& pool, const DatasetProgress& progress)
      : config_(config), files_(std::move(files)), truth_(std::move(truth)), pool_(pool) {
    if (!truth_.empty()) score_frame({}, {}, config_);  // classes that cannot be scored: said before long work
    const QGraph real = calib::as_float(graph);
    Runner runner(real, pool_);
    const std::size_t compared = truth_.empty() ? files_.size() : std::min(kMostCompared, files_.size());
    for (std::size_t i = 0; i < compared; ++i) {
      const SparseTensor frame = voxels_of(files_[i], config_, pool_);
      if (frame.rows() == 0) continue;
      if (reference_.empty()) first_ = i;
      const auto maps = runner.run(frame);
      reference_.insert(reference_.end(), maps.begin(), maps.end());
      if (progress) progress(static_cast<std::int64_t>(i) + 1, static_cast<std::int64_t>(compared));
    }
    require(!reference_.empty(), "{}: no point in range, nor in {} other frames: nothing to compare networks on",
            files_.front().string(), compared - 1);
  }

  calib::Measurement measure(const QGraph& network) override {
    Runner runner(network, pool_);
    std::vector<float> compared;
    std::vector<FrameMatches> matches;
    for (std::size_t i = 0; i < files_.size(); ++i) {
      const SparseTensor frame = voxels_of(files_[i], config_, pool_);
      const auto maps = frame.rows() == 0 ? std::span<const float>{} : runner.run(frame);
      if (compared.size() < reference_.size()) compared.insert(compared.end(), maps.begin(), maps.end());
      if (truth_.empty()) continue;
      DecodeCounts counts;
      const std::vector<Box> boxes = maps.empty() ? std::vector<Box>{} : boxes_of(maps, config_, counts);
      matches.push_back(score_frame(truth_[i], boxes, config_));
    }
    calib::Measurement m;
    if (!truth_.empty()) {
      const DetectionMetrics metrics = metrics_of(matches, nuscenes_rules());
      m.mean_ap = 100 * metrics.mean_ap, m.nds = 100 * metrics.nds;
    }
    m.agreement = agreement(compared);
    m.sqnr_db = sqnr_db(reference_, compared);
    m.cosine = cosine(reference_, compared);
    return m;
  }

  // Of the first frame with a point in range.
  std::vector<EdgeNoise> edge_noise(const Graph& graph, const calib::Ranges& ranges) override {
    const SparseTensor frame = voxels_of(files_[first_], config_, pool_);
    return models::edge_noise(graph, ranges, [&](const QGraph& network, const Context::Hook& hook) {
      Runner(network, pool_, true).run(frame, &hook);
    });
  }

 private:
  // Of all cells and tasks, the share (percent) in which the best class is the same.
  double agreement(std::span<const float> maps) const {
    const HeadMaps heads = head_maps(config_);
    const auto cells = static_cast<std::size_t>(config_.map_width() * config_.map_height());
    const std::size_t size = cells * static_cast<std::size_t>(heads.channels);
    std::int64_t same = 0, all = 0;
    for (std::size_t frame = 0; frame < maps.size(); frame += size) {
      for (const TaskMaps& task : heads.tasks) {
        const auto best = [&](std::span<const float> of, std::size_t cell) {
          int winner = 0;
          const auto logit = [&](int c) { return of[frame + static_cast<std::size_t>(task.hm + c) * cells + cell]; };
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

  CenterPointConfig config_;
  Files files_;
  std::vector<Annotations> truth_;  // of every frame, or empty
  ThreadPool& pool_;
  std::vector<float> reference_;  // the float network's maps, frame after frame, of those with a point in range
  std::size_t first_ = 0;         // the first such frame
};

class FrameDataset final : public Dataset {
 public:
  // Without `annotated`, annotations are not looked for: of random weights they say nothing.
  FrameDataset(Files files, const CenterPointConfig& config, bool annotated)
      : files_(std::move(files)), config_(config), annotated_(annotated) {}

  const char* noun() const override { return "frame"; }
  Files files() const override { return files_; }
  std::int64_t labelled() const override {
    if (!annotated_) return 0;
    return std::ranges::count_if(files_, [](const fs::path& file) { return annotations_beside(file).has_value(); });
  }
  std::string truth_hash() const override {
    Fnv1a hash;
    for (const fs::path& file : labelled() == count() ? files_ : Files{}) {
      const fs::path beside = *annotations_beside(file);
      read_annotations(beside);  // what is wrong with one is said before long work
      hash.add(sample_hash(beside));
    }
    return hex(hash.value());
  }
  std::unique_ptr<Dataset> subset(std::span<const std::size_t> indices) const override {
    Files chosen;
    for (const std::size_t i : indices) chosen.push_back(files_.at(i));
    return std::make_unique<FrameDataset>(std::move(chosen), config_, annotated_);
  }
  kernels::PlanOptions plan_options() const override { return {}; }
  int most_at_once() const override { return 1; }

  // One frame after another: maps of the official size take hundreds of megabytes in floats.
  Score observe(calib::Calibrator& calibrator, std::int64_t first, std::int64_t count) const override {
    ThreadPool pool(1);
    for (std::int64_t i = first; i < first + count; ++i) {
      const fs::path& file = files_.at(static_cast<std::size_t>(i));
      const SparseTensor frame = voxels_of(file, config_, pool);
      require(frame.rows() > 0, "{}: no point in range, so it says nothing about any layer", file.string());
      calibrator.observe(frame);
    }
    return {};
  }

  std::unique_ptr<Scorer> scorer(const Graph& graph, ThreadPool& pool, int,
                                 const DatasetProgress& progress) const override {
    std::vector<Annotations> truth;
    for (const fs::path& file : labelled() == count() ? files_ : Files{}) {
      truth.push_back(read_annotations(*annotations_beside(file)));
    }
    return std::make_unique<FrameScorer>(graph, config_, files_, std::move(truth), pool, progress);
  }

 private:
  Files files_;
  CenterPointConfig config_;
  bool annotated_;
};

}  // namespace

std::unique_ptr<Dataset> open_frames(const LoadedModel& model, const fs::path& folder, const PhotoSetOptions& options) {
  require(model.points.has_value(), "{} takes photos, not points", model.name);
  require(!options.labels, "--labels {}: for photos; annotations stand beside their frames (NAME.annotations.json)",
          options.labels->string());
  Files files = list_point_files(folder, false);
  files = selected_files(std::move(files), options.skip, options.limit, fmt::format("frames in {}", folder.string()));
  return std::make_unique<FrameDataset>(std::move(files), *model.points, !model.seeded);
}

}  // namespace octet::models
