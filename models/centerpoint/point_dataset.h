// LiDAR frames as a Dataset: what calibration, sensitivity analysis and PTQ stream. Where every frame has annotations
// beside it, networks are scored by mAP and NDS (and of the first 32 frames by their maps, which breaks ties); else by
// their maps alone: SQNR, cosine, and the best class of each cell (agreement).
#pragma once

#include <memory>

#include "models/dataset.h"

namespace octet::models {

// The frames below `folder` whose names say what a point is (runtime/io/points.h), sorted. Throws Error: no such
// folder, no frame in it, none left after skip.
std::unique_ptr<Dataset> open_frames(const LoadedModel& model, const std::filesystem::path& folder,
                                     const PhotoSetOptions& options);

}  // namespace octet::models
