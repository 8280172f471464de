// A frame's boxes and annotations as nuScenes scores them: classes by name, found boxes with an attribute, positions in
// the map's plane, distances from the vehicle, what is not scored filtered out.
#pragma once

#include <span>
#include <string>

#include "models/centerpoint/annotations.h"
#include "models/centerpoint/boxes.h"
#include "models/centerpoint/detection_metrics.h"

namespace octet::models {

// CenterPoint finds no attributes; det3d (datasets/nuscenes, _second_det_to_nusc) guesses them from class and speed
// (metres a second), and so do we: above 0.2 m/s vehicles move and cycles have riders; below it pedestrians stand and
// buses are stopped; otherwise the most frequent one of the class in nuScenes. Empty for barriers and cones.
std::string likely_attribute(const std::string& label, double speed);

// Matches a frame's boxes with its annotations. Of more than rules.most_boxes boxes those with the highest scores
// count. Throws Error: the configuration has a class that the rules do not know.
FrameMatches score_frame(const Annotations& truth, std::span<const Box> found, const CenterPointConfig& config,
                         const MetricRules& rules = nuscenes_rules());

}  // namespace octet::models
