// Photos decoded once, and networks compared on them: what sensitivity analysis and PTQ run again and again.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "calib/sensitivity.h"
#include "models/classifier.h"

namespace octet::models {

// As the network takes them.
struct PreparedPhotos {
  Tensor pixels;            // u8 [n, crop, crop, 3]: 150 kB a photo at 224 x 224
  std::vector<int> labels;  // -1: none
  bool labelled = false;    // every photo has a label within the network's classes

  std::int64_t count() const { return static_cast<std::int64_t>(labels.size()); }
};

using PhotoProgress = std::function<void(std::int64_t done, std::int64_t total)>;  // in photos
// Throws Error naming the photo.
PreparedPhotos prepare(std::span<const Photo> photos, const Preprocess& how, const PhotoProgress& progress = nullptr);

// The outputs of a network for all photos, [n][outputs].
std::vector<float> outputs_of(const QGraph& network, const PreparedPhotos& photos, const Preprocess& how,
                              ThreadPool& pool, int batch);

// Compares networks with the float one, whose outputs are `reference`.
class Comparison {
 public:
  // Runs the float network once. `photos`, `how` and `pool` must outlive it.
  Comparison(const Graph& graph, const PreparedPhotos& photos, const Preprocess& how, ThreadPool& pool, int batch);
  calib::Measurement operator()(const QGraph& network) const;

 private:
  const PreparedPhotos& photos_;
  const Preprocess& how_;
  ThreadPool& pool_;
  int batch_;
  std::vector<float> reference_;
};

// 10 * log10(sum of reference^2 / sum of (reference - other)^2); infinite where they are equal.
double sqnr_db(std::span<const float> reference, std::span<const float> other);
double cosine(std::span<const float> a, std::span<const float> b);

// Signal to quantisation noise at every observed edge, FP32 against INT8 on the same input (of photos at most `batch`):
// the noise of all layers before it included. In the ranges' order; edges that are not quantised are left out.
struct EdgeNoise {
  std::string observer;
  double sqnr_db;
};
// Runs a network, planned to keep its edges, on some input, the same one each time.
using RunHooked = std::function<void(const QGraph& network, const Context::Hook& hook)>;
std::vector<EdgeNoise> edge_noise(const Graph& graph, const calib::Ranges& ranges, const RunHooked& run);
std::vector<EdgeNoise> edge_noise(const Graph& graph, const calib::Ranges& ranges, const PreparedPhotos& photos,
                                  const Preprocess& how, ThreadPool& pool, int batch);

}  // namespace octet::models
