// The networks that Octet knows by name.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "calib/ranges.h"
#include "models/centerpoint/config.h"
#include "models/preprocess.h"
#include "runtime/graph.h"
#include "runtime/qgraph.h"
#include "runtime/state_dict.h"

namespace octet::models {

// What a user may choose of a network.
struct BuildOptions {
  std::optional<Activation> activation;     // --activation; only for networks that leave the choice
  std::optional<CenterPointConfig> points;  // only for networks that take points
};

struct ModelInfo {  // one row of the table in registry.cpp
  const char* name;
  const char* summary;                    // one line
  Graph (*build)(const BuildOptions& o);  // without weights
  Preprocess preprocess;
  std::vector<std::string> labels;  // by class; empty when the network does not name its classes
  // Without a label folder or file, the label is this rule's verdict on the photo's own file name; -1: it says nothing.
  int (*label_of_name)(const std::string& file_name) = nullptr;
  const char* names_file = nullptr;  // where the names are, among the shipped files, when a script has fetched them
  bool any_activation = false;       // build() heeds BuildOptions::activation
  bool takes_points = false;         // its input is a LiDAR frame; build() heeds BuildOptions::points
  // Where a network differs from the rest: a checkpoint in other layouts than the graph's, weights that Kaiming-normal
  // layers alone would leave without boxes.
  StateDict (*in_graph_layout)(const StateDict& checkpoint, const Graph& graph) = nullptr;
  void (*seed)(Graph& graph, const BuildOptions& o, std::uint64_t seed) = nullptr;
  // Ranges that a checkpoint holds beside its weights; none: null or no such checkpoint.
  std::optional<calib::Ranges> (*ranges_in)(const StateDict& checkpoint, const Graph& graph) = nullptr;
  // Whether the shipped weights are for the network that these options build; null: always.
  bool (*ships_for)(const BuildOptions& o) = nullptr;
};

std::span<const ModelInfo> all_models();  // in the table's order
// Throws Error that lists the names that exist.
const ModelInfo& find_model(std::string_view name);
bool is_model_name(std::string_view name);
// The network of `info`; throws Error for an option that it does not have.
Graph build(const ModelInfo& info, const BuildOptions& options);

}  // namespace octet::models
