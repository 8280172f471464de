#include "models/registry.h"

#include <algorithm>

#include "models/catdog/catdog.h"
#include "runtime/error.h"

namespace octet::models {
namespace {

// The notebook's rule: the label comes from the file's own name alone.
int catdog_label(const std::string& file_name) { return file_name.find("cat") != std::string::npos ? 0 : 1; }

const std::vector<ModelInfo>& table() {
  static const std::vector<ModelInfo> models = {
      {.name = "catdog",
       .summary = "cat or dog, 224x224 photos: 4 conv-BN-ReLU-pool stages, 2 linear layers, 517,130 parameters",
       .build = catdog,
       .preprocess = {},
       .labels = {"cat", "dog"},
       .label_of_name = catdog_label},
  };
  return models;
}

}  // namespace

std::span<const ModelInfo> all_models() { return table(); }

bool is_model_name(std::string_view name) {
  return std::ranges::any_of(table(), [&](const ModelInfo& m) { return m.name == name; });
}

const ModelInfo& find_model(std::string_view name) {
  std::string names;
  for (const ModelInfo& m : table()) {
    if (m.name == name) return m;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", m.name);
  }
  fail("unknown model '{}': the models are {}; a path to an .octet file works too", name, names);
}

}  // namespace octet::models
