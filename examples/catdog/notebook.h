// The notebook's flow: one set of photos calibrates, is scored in FP32, and is scored in INT8.
#pragma once

#include "models/loaded_model.h"

namespace octet::examples {

struct NotebookOptions {
  std::string data;  // folder of photos; the first 50 of each class are used
  std::uint64_t seed = 0;
  bool swap_labels = false;
};

int replay_notebook(const models::LoadOptions& load, const NotebookOptions& options, int threads);

}  // namespace octet::examples
