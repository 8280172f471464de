// A folder of data as a network sees it: what calibration and scoring stream, whatever a sample is. Photos are
// implemented here; another kind of input (point clouds) is another Dataset, opened by open_dataset() in dataset.cpp.
// Calibration asks it to observe() batch after batch; sensitivity analysis and PTQ ask its Scorer what a quantised
// network is worth.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "calib/calibrate.h"
#include "calib/sensitivity.h"
#include "models/classifier.h"
#include "models/loaded_model.h"
#include "models/measure.h"

namespace octet::models {

// Compares quantised networks with the float one on the samples of a Dataset.
class Scorer {
 public:
  virtual ~Scorer() = default;
  virtual calib::Measurement measure(const QGraph& network) = 0;
  // Noise at the observed edges with these ranges, in their order.
  virtual std::vector<EdgeNoise> edge_noise(const Graph& graph, const calib::Ranges& ranges) = 0;
};

using DatasetProgress = std::function<void(std::int64_t done, std::int64_t total)>;  // in samples

class Dataset {  // immutable; reads files when asked
 public:
  virtual ~Dataset() = default;

  virtual const char* noun() const = 0;                          // of one sample: "photo"
  virtual std::vector<std::filesystem::path> files() const = 0;  // one a sample, in the order in which they stream
  std::int64_t count() const { return static_cast<std::int64_t>(files().size()); }
  virtual std::int64_t labelled() const = 0;   // samples that say what is in them; scores need that of all
  virtual std::string truth_hash() const = 0;  // of what the samples' labels or annotations say
  // The samples with these indices, in that order.
  virtual std::unique_ptr<Dataset> subset(std::span<const std::size_t> indices) const = 0;

  // What a calibration's or a program's plan needs to know of the input.
  virtual kernels::PlanOptions plan_options() const = 0;
  virtual int most_at_once() const { return 4096; }  // samples in one batch of a plan
  // Samples [first, first + count) as one batch through the float network. Returns how many of the labelled ones were
  // right, where there is such a thing. Throws Error that names the file for one that cannot be read.
  virtual Score observe(calib::Calibrator& calibrator, std::int64_t first, std::int64_t count) const = 0;
  // The graph, the pool and this dataset must outlive it.
  virtual std::unique_ptr<Scorer> scorer(const Graph& graph, ThreadPool& pool, int batch,
                                         const DatasetProgress& progress = nullptr) const = 0;
};

// The names of a model's classes: its own; else those of the sub-folders, where there is one for each class; else none.
std::vector<std::string> class_names(const LoadedModel& model, const std::filesystem::path& folder);

// The samples in a folder. Throws Error where list_photos() does.
std::unique_ptr<Dataset> open_dataset(const LoadedModel& model, const std::filesystem::path& folder,
                                      const PhotoSetOptions& options);

// Samples are known again by their bytes, whatever they are called. Ranges::data is the hash of the whole set, by names
// and sizes, then ':' and, in ascending order, twelve hexadecimal digits for each sample's bytes; files of before have
// only the first.
std::string sample_hash(const std::filesystem::path& file);
std::string set_hash(const std::vector<std::filesystem::path>& files);  // of all of them, in any order
std::string marks_of(const std::vector<std::filesystem::path>& files);  // for Ranges::data
// How many of these files calibrated.
std::int64_t calibration_overlap(const calib::Ranges& ranges, const std::vector<std::filesystem::path>& files);

}  // namespace octet::models
