// What was found in each frame of a folder, as text: between ranks, and in a file, so that two evaluations of the same
// frames can be compared frame by frame (octet evaluate --save-matches F, --against F).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "models/centerpoint/detection_metrics.h"

namespace octet::cli {

struct Matches {
  std::string model, precision;
  std::vector<std::string> names;  // of the frames' files
  std::vector<models::FrameMatches> frames;
};

std::string to_json(const models::FrameMatches& frame);
models::FrameMatches frame_matches_from_json(const std::string& text);  // throws Error

void save_matches(const Matches& matches, const std::filesystem::path& path);  // atomically
Matches load_matches(const std::filesystem::path& path);                       // throws Error naming the file

}  // namespace octet::cli
