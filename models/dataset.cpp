#include "models/dataset.h"

#include <fmt/format.h>
#include <algorithm>
#include <fstream>

#include "models/centerpoint/point_dataset.h"
#include "runtime/error.h"
#include "runtime/hash.h"

namespace octet::models {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSampleDigits = 12;  // 48 bits of hash: two samples of 10,000 look alike once in 5 million sets

class PhotoScorer final : public Scorer {
 public:
  PhotoScorer(const Graph& graph, PreparedPhotos photos, const Preprocess& how, ThreadPool& pool, int batch)
      : photos_(std::move(photos)),
        how_(how),
        pool_(pool),
        batch_(batch),
        compare_(graph, photos_, how_, pool, batch) {}

  calib::Measurement measure(const QGraph& network) override { return compare_(network); }
  std::vector<EdgeNoise> edge_noise(const Graph& graph, const calib::Ranges& ranges) override {
    return models::edge_noise(graph, ranges, photos_, how_, pool_, batch_);
  }

 private:
  PreparedPhotos photos_;
  Preprocess how_;
  ThreadPool& pool_;
  int batch_;
  Comparison compare_;  // refers to what stands above
};

class PhotoDataset final : public Dataset {
 public:
  PhotoDataset(std::vector<Photo> photos, const Preprocess& how) : photos_(std::move(photos)), how_(how) {}

  const char* noun() const override { return "photo"; }

  std::vector<fs::path> files() const override {
    std::vector<fs::path> files;
    for (const Photo& photo : photos_) files.push_back(photo.path);
    return files;
  }

  std::int64_t labelled() const override {
    return std::ranges::count_if(photos_, [](const Photo& photo) { return photo.label >= 0; });
  }
  std::string truth_hash() const override {
    Fnv1a hash;
    for (const Photo& photo : photos_) hash.add(fmt::format("{} ", photo.label));
    return hex(hash.value());
  }

  std::unique_ptr<Dataset> subset(std::span<const std::size_t> indices) const override {
    std::vector<Photo> chosen;
    for (const std::size_t i : indices) chosen.push_back(photos_.at(i));
    return std::make_unique<PhotoDataset>(std::move(chosen), how_);
  }

  kernels::PlanOptions plan_options() const override {
    kernels::PlanOptions options;
    options.photo = how_.photo();
    return options;
  }

  Score observe(calib::Calibrator& calibrator, std::int64_t first, std::int64_t count) const override {
    const auto part = std::span(photos_).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    const PreparedPhotos batch = prepare(part, how_);
    const Tensor logits = calibrator.observe(batch.pixels);
    const auto classes = static_cast<std::size_t>(logits.elements() / count);
    Score score;
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (part[i].label < 0) continue;
      ++score.count;
      score.correct += top1(logits.span<float>().subspan(i * classes, classes), how_.label_offset) == part[i].label;
    }
    return score;
  }

  std::unique_ptr<Scorer> scorer(const Graph& graph, ThreadPool& pool, int batch,
                                 const DatasetProgress& progress) const override {
    return std::make_unique<PhotoScorer>(graph, prepare(photos_, how_, progress), how_, pool, batch);
  }

 private:
  std::vector<Photo> photos_;
  Preprocess how_;
};

std::string name_and_size(const fs::path& file) {
  std::error_code error;
  return fmt::format("{} {}\n", file.filename().string(), fs::file_size(file, error));
}

}  // namespace

std::vector<std::string> class_names(const LoadedModel& model, const fs::path& folder) {
  if (!model.labels.empty()) return model.labels;
  const Shape& output = model.graph ? model.graph->edges()[static_cast<std::size_t>(model.graph->output_edge())].shape
                                    : model.network.edges[static_cast<std::size_t>(model.network.output)].shape;
  std::vector<std::string> names = class_folders(folder);
  if (static_cast<std::int64_t>(names.size()) != output.elements() - model.preprocess.label_offset) names.clear();
  return names;
}

// Networks whose samples are no photos open their own kind of Dataset here.
std::unique_ptr<Dataset> open_dataset(const LoadedModel& model, const fs::path& folder,
                                      const PhotoSetOptions& options) {
  if (model.points) return open_frames(model, folder, options);
  std::vector<Photo> photos = list_photos(folder, class_names(model, folder), model.info, options);
  if (model.seeded) {  // its outputs mean no class
    for (Photo& photo : photos) photo.label = -1;
  }
  return std::make_unique<PhotoDataset>(std::move(photos), model.preprocess);
}

// By their bytes, not by name and size: uncompressed photos of one camera, and frames of one scanner, share both.
std::string sample_hash(const fs::path& file) {
  Fnv1a hash;
  std::ifstream stream(file, std::ios::binary);
  std::vector<char> bytes(1 << 16);
  while (stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size())) || stream.gcount() > 0) {
    hash.add(std::string_view(bytes.data(), static_cast<std::size_t>(stream.gcount())));
  }
  return hex(hash.value()).substr(0, kSampleDigits);
}

std::string set_hash(const std::vector<fs::path>& files) {
  std::vector<std::string> lines;
  for (const fs::path& file : files) lines.push_back(name_and_size(file));
  std::ranges::sort(lines);
  Fnv1a hash;
  for (const std::string& line : lines) hash.add(line);
  return hex(hash.value());
}

std::string marks_of(const std::vector<fs::path>& files) {
  std::vector<std::string> samples;
  for (const fs::path& file : files) samples.push_back(sample_hash(file));
  std::ranges::sort(samples);
  return fmt::format("{}:{}", set_hash(files), fmt::join(samples, ""));
}

std::int64_t calibration_overlap(const calib::Ranges& ranges, const std::vector<fs::path>& files) {
  const std::size_t colon = ranges.data.find(':');
  if (colon == std::string::npos) {  // an older file knows the whole set or nothing
    const bool same = !ranges.data.empty() && ranges.data == set_hash(files);
    return same ? static_cast<std::int64_t>(files.size()) : 0;
  }
  std::vector<std::string> samples;
  for (std::size_t at = colon + 1; at < ranges.data.size(); at += kSampleDigits) {
    samples.push_back(ranges.data.substr(at, kSampleDigits));
  }
  std::ranges::sort(samples);  // whoever wrote the file
  return std::ranges::count_if(
      files, [&](const fs::path& file) { return std::ranges::binary_search(samples, sample_hash(file)); });
}

}  // namespace octet::models
