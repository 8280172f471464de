// octet evaluate for a network that takes points: nuScenes' mAP and NDS on a folder of annotated frames.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "examples/octet/points.h"

namespace octet::cli {

struct EvaluatePoints {
  PointFlags points;                         // --points, --fifth
  std::optional<std::string> save, against;  // --save-matches, --against
  std::vector<std::string> found;            // --found
};
void add_evaluate_points_flags(CLI::App& app, EvaluatePoints& flags);

// Under mpirun each rank takes every K-th frame; the figures are those of a single process.
int evaluate_points(const Common& common, const models::LoadedModel& model, const std::filesystem::path& folder,
                    const EvaluatePoints& flags);

// The figures of what evaluations on parts of a set of frames saved (--found): by several processes or machines.
// Throws Error for files of different networks or with a frame in common.
int evaluate_found(const Common& common, const EvaluatePoints& flags);

}  // namespace octet::cli
