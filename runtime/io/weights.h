// Weights of whatever format: safetensors, or a PyTorch checkpoint as zip or as legacy stream. The content decides; the
// name of the file is never asked.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "runtime/io/safetensors.h"
#include "runtime/state_dict.h"

namespace octet {

struct WeightsFile {  // what a file of either format holds
  StateDict tensors;
  std::string format;                // "safetensors", "PyTorch zip", "PyTorch legacy"
  std::vector<std::string> ignored;  // values of a checkpoint that are not tensors: "epoch: an integer"
  Metadata metadata;                 // of safetensors
};

// Errors: those of read_safetensors and read_torch_checkpoint; a file of another kind, with its first bytes.
WeightsFile read_weights(const std::filesystem::path& path);
StateDict read_state_dict(const std::filesystem::path& path);

}  // namespace octet
