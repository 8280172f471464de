// An ONNX file as a model: its network, and how photos become its input.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "models/loaded_model.h"

namespace octet::models {

bool is_onnx_path(const std::string& model);  // by its name

// The network of an ONNX file and its preprocessing: of a float file the Graph, its activations marked for calibration;
// of a quantised one the integer network. Throws Error.
LoadedModel load_onnx(const std::string& path, const LoadOptions& options);

// F.preprocess.json beside the file (either `net.onnx.preprocess.json` or `net.preprocess.json`, the JSON of
// Preprocess) where there is one; else what an export of ours says in its metadata; else by the layout:
//   input 3x32x32:   (p / 255 - mean) / std with ImageNet's mean and std, the photo resized to 32x32;
//   otherwise SxS:   shorter side to S * 8 / 7 (256 for 224), centre crop S, (p - 127) / 128; where there are 1001
//                    outputs, (p - 127.5) / 127.5 and class 0 at index 1.
Preprocess onnx_preprocess(const std::filesystem::path& file, const Graph& graph,
                           const std::map<std::string, std::string>& metadata = {});

}  // namespace octet::models
