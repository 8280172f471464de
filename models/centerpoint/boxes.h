// From the maps of the heads to boxes: decoding and non-maximum suppression. Every number comes from IEEE additions,
// multiplications and divisions and from runtime/real_functions.h, in one order: equal maps give equal boxes, to the
// last bit, on every device (rule 13).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/centerpoint/centerpoint.h"
#include "runtime/box_overlap.h"

namespace octet::models {

// As det3d's decoder leaves it: (x, y, z) the centre in metres; at yaw 0 the box extends dx along the x axis and dy
// along y, and a positive yaw turns it clockwise (seen from above). An object's length is dy, and it heads for -yaw -
// pi / 2, counter-clockwise from the x axis.
struct Box {
  int label = 0;
  float score = 0;
  float x = 0, y = 0, z = 0, dx = 0, dy = 0, dz = 0, yaw = 0, vx = 0, vy = 0;
  bool operator==(const Box&) const = default;
};

BevBox from_above(const Box& box);  // whose side du is dx, dv is dy

// What decoding one frame left out on the way to its boxes.
struct DecodeCounts {
  std::int64_t candidates = 0;          // cells with a score above the threshold
  std::int64_t out_of_range = 0;        // of these: centre outside of center_range, or sizes that are no numbers
  std::int64_t dropped_candidates = 0;  // of the rest: beyond most_candidates of a task
  std::int64_t dropped_boxes = 0;       // survivors of the suppression beyond most_boxes of a task
};

// The candidates of one task: of each cell its best class, sorted by score, descending, then by cell, ascending; only
// then cut to config.most_candidates. `maps` is [channels, height, width].
std::vector<Box> decode(std::span<const float> maps, const TaskMaps& task, const CenterPointConfig& config,
                        DecodeCounts& counts);

// Of candidates in that order, those that no better survivor suppresses; at most config.most_boxes.
std::vector<Box> suppress(std::span<const Box> sorted, const CenterPointConfig& config, std::size_t task,
                          DecodeCounts& counts);

// Both, for all tasks: the boxes of a frame, task by task, best first.
std::vector<Box> boxes_of(std::span<const float> maps, const CenterPointConfig& config, DecodeCounts& counts);

}  // namespace octet::models
