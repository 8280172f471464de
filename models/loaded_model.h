// A model ready to be planned: from a name (with weights and ranges given, shipped or seeded), from an .octet file or
// from an .onnx file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "calib/quantise.h"
#include "models/registry.h"
#include "runtime/qgraph.h"

namespace octet::models {

inline constexpr const char* kSeeded = "seeded";  // weights: random ones, also where a model's are shipped

struct LoadOptions {                             // no weights or ranges: the shipped ones, else seeded
  std::optional<std::filesystem::path> weights;  // a file, or kSeeded
  std::optional<std::filesystem::path> ranges;
  std::optional<std::filesystem::path> names;  // of the classes, one a line; replaces the network's own
  std::optional<Precision> precision;          // default: int8 when there are ranges, else fp32
  std::uint64_t seed = 1;                      // for seeded weights
  calib::QuantiseOptions quantise;
  BuildOptions build;
};

struct LoadedModel {  // immutable once loaded, may be shared by threads
  std::string name;
  const ModelInfo* info = nullptr;      // null for a file of an unknown network
  std::optional<Graph> graph;           // null for an .octet file
  std::optional<calib::Ranges> ranges;  // what INT8 was made from
  QGraph network;                       // in the precision that was asked for
  Precision precision = Precision::fp32;
  Preprocess preprocess;
  std::optional<CenterPointConfig> points;  // set: its input is a LiDAR frame, not a photo
  std::vector<std::string> labels;
  bool seeded = false;                        // weights are random: good for speed only
  std::optional<std::filesystem::path> file;  // the .octet or .onnx file that it came from, as it would be deployed
  std::vector<std::string> notes;             // what the user should know: extra keys, seeded weights

  bool gives_scores() const;  // the network ends in a softmax: its outputs are scores, not logits
};

// MODEL is a name or a path to an .octet or .onnx file. Throws Error.
LoadedModel load_model(const std::string& model, const LoadOptions& options);

// The size of the file one would deploy: the .octet program for INT8, the float weights for FP32. Writes that file in
// memory unless the model came from one, so it is not part of loading.
std::int64_t deployed_bytes(const LoadedModel& model);

// Only the float graph with its weights (calibration needs no ranges).
LoadedModel load_float_model(const std::string& model, const LoadOptions& options);

}  // namespace octet::models
