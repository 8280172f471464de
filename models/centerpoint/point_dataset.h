// LiDAR frames as a Dataset: what calibration, sensitivity analysis and PTQ stream. Nothing says what is in a frame, so
// networks are compared by their maps (SQNR, cosine) and by the best class of each cell (agreement).
#pragma once

#include <memory>

#include "models/dataset.h"

namespace octet::models {

// The frames below `folder` whose names say what a point is (runtime/io/points.h), sorted. Throws Error: no such
// folder, no frame in it, none left after skip.
std::unique_ptr<Dataset> open_frames(const LoadedModel& model, const std::filesystem::path& folder,
                                     const PhotoSetOptions& options);

}  // namespace octet::models
