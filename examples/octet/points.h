// What commands share that read LiDAR frames instead of photos.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "examples/octet/cli.h"
#include "models/centerpoint/detector.h"
#include "runtime/io/points.h"

namespace octet::cli {

struct PointFlags {
  std::string format, fifth = "guess";  // --points, --fifth
  std::optional<std::string> picture, annotations;
  std::string dump_stage;
  std::optional<std::string> dump;
  bool hash_layers = false;
};
void add_point_format_flags(CLI::App& app, PointFlags& flags);
void add_point_flags(CLI::App& app, PointFlags& flags);  // also those of `run` alone

// The format that --points and --fifth ask for; nothing when the names of the files say it.
std::optional<PointFormat> asked_format(const PointFlags& flags);
// A frame as the network wants it; says on stderr when the fifth column was taken for laser indices.
PointCloud load_frame(const Common& common, const PointFlags& flags, const std::filesystem::path& path);
// Files as they are given; of a folder, its frames. --skip and --limit applied.
std::vector<std::filesystem::path> list_frames(const Common& common, const PointFlags& flags,
                                               const std::vector<std::string>& inputs);

// octet run for a network that takes points.
int run_points(const Common& common, const models::LoadedModel& model, const std::vector<std::string>& inputs,
               const PointFlags& flags);

}  // namespace octet::cli
