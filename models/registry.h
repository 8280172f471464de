// The networks that Octet knows by name.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/preprocess.h"
#include "runtime/graph.h"

namespace octet::models {

struct ModelInfo {
  const char* name;
  const char* summary;  // one line
  Graph (*build)();     // without weights
  Preprocess preprocess;
  std::vector<std::string> labels;  // by class; empty when the network does not name its classes
  // Without a label folder or file, the label is this rule's verdict on the photo's own file name; -1: it says nothing.
  int (*label_of_name)(const std::string& file_name) = nullptr;
};

std::span<const ModelInfo> all_models();
// Throws Error that lists the names that exist.
const ModelInfo& find_model(std::string_view name);
bool is_model_name(std::string_view name);

}  // namespace octet::models
