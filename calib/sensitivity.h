// Sensitivity: which layers cost most when they are quantised.
//
// leave_out: all INT8 but this layer (or block) in float; the higher the score, the more the layer costs. alone: only
// this layer (or block) INT8; the lower the score, the more it costs.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "calib/ranges.h"
#include "runtime/qgraph.h"

namespace octet::calib {

// What a quantised network is worth, measured against the float network on the same inputs. Which of the figures a
// network has is for its Measure to say: a classifier's has top1, a detector's mean_ap; both only where labels exist.
struct Measurement {
  std::optional<double> top1;     // percent of inputs whose best class is the label
  std::optional<double> mean_ap;  // mAP in percent
  std::optional<double> nds;      // nuScenes detection score in percent, where there is a mean_ap
  double agreement = 0;           // percent of inputs with the float network's best class
  double sqnr_db = 0;             // signal to quantisation noise of the outputs
  double cosine = 1;              // of the outputs

  bool labelled() const { return top1.has_value() || mean_ap.has_value(); }
  double score() const { return mean_ap ? *mean_ap : top1.value_or(agreement); }  // percent: what points are lost of
  const char* metric() const { return mean_ap ? "mAP" : top1 ? "top1" : "agreement"; }
};

enum class SensitivityMode : std::uint8_t { leave_out, alone };  // all INT8 but one layer, or that layer alone
const char* name_of(SensitivityMode mode);                       // "leave-out", "alone"

struct LayerSensitivity {  // the network with this layer switched, as the mode says
  std::string name;
  bool block = false;  // stands for all layers below `name.`
  Measurement measured;
};

struct Sensitivity {
  std::string model, data;  // data: a hash of everything that was measured with
  SensitivityMode mode = SensitivityMode::leave_out;
  std::int64_t images = 0;
  Measurement fp32, int8;                // all float; all INT8
  std::vector<LayerSensitivity> layers;  // in the network's order, blocks before their layers
  bool complete = false;

  // The costliest first: with labels by score, then, as scores of few samples tie, by SQNR; without labels by SQNR,
  // then by cosine. What is equal stays in the network's order.
  std::vector<LayerSensitivity> ranked() const;
};

using Measure = std::function<Measurement(const QGraph& network)>;  // what a network is worth
// Called after every layer, so that an interrupted run keeps what it has.
using SensitivityProgress = std::function<void(const Sensitivity& so_far, std::size_t total)>;

struct SensitivityOptions {  // which networks analyse() measures
  SensitivityMode mode = SensitivityMode::leave_out;
  bool blocks = true;  // named blocks too, not only layers
  // What an interrupted run has measured already; layers in it are not measured again.
  std::optional<Sensitivity> resume;
};

// The ranges' own ignore and only lists stay in force; layers that they keep in float are not measured.
Sensitivity analyse(const Graph& graph, const Ranges& ranges, const Measure& measure, const SensitivityOptions& options,
                    const SensitivityProgress& progress = nullptr);

// The layers to leave in float so that the score falls less than `points` below the float network's, as few as are
// found: none; else the best single one; else the first k of the ranking, k = 2, 3, ..., without those that the others
// then do without; and of the first six of these k the smallest choice that suffices, if it is smaller still. (Fewest
// of all would take a measurement of every subset.) Layers that only move integers, as pools do, are not asked. Throws
// Error when all layers together do not suffice.
struct AutoIgnore {
  std::vector<std::string> layers;  // names
  Measurement reached;              // on the samples that chose
};
AutoIgnore choose_ignored(const Graph& graph, const Ranges& ranges, const Sensitivity& sensitivity,
                          const Measure& measure, double points);

std::string to_json(const Sensitivity& sensitivity);                                       // the file of --out
Sensitivity sensitivity_from_json(const std::string& text, const std::string& where);      // throws Error
void save_sensitivity(const Sensitivity& sensitivity, const std::filesystem::path& path);  // atomically
Sensitivity load_sensitivity(const std::filesystem::path& path);  // throws Error naming the file

}  // namespace octet::calib
