// What a CenterPoint is configured with at run time: the grid, the limits of each stage and the classes. Nothing of it
// is compiled in; the two official grids are presets.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/sparse.h"

namespace octet::models {

// The defaults are the official 0.075 m network's.
struct CenterPointConfig {
  enum class Nms : std::uint8_t { rotated, circle };  // suppression by overlap or by distance

  // Metres. A voxel holds points with range[i] <= coordinate < range[i + 3]; x and y must be multiples of 16 voxels, so
  // that the neck's two resolutions meet.
  std::array<double, 6> range{-54, -54, -5, 54, 54, 3};  // x, y, z from; x, y, z to
  std::array<double, 3> voxel{0.075, 0.075, 0.2};        // x, y, z
  int max_points = 10;                                   // of a voxel that count for its mean
  std::int64_t max_voxels = 160'000;                     // of a frame; those with the largest keys are dropped

  std::array<float, 6> center_range{-61.2f, -61.2f, -10, 61.2f, 61.2f, 10};  // boxes with a centre outside are none
  float score_threshold = 0.1f;
  int most_candidates = 1000;  // of a task, best first, that non-maximum suppression sees
  int most_boxes = 83;         // of a task that it leaves
  Nms nms = Nms::rotated;
  float overlap = 0.2f;  // rotated: a box that overlaps a better one by more (IoU, seen from above) is suppressed
  // circle, by task: a box whose centre is this near to a better one's is suppressed. Squared metres, as the original
  // compares them.
  std::vector<float> squared_radius{4, 12, 10, 1, 0.85f, 0.175f};
  std::vector<std::vector<std::string>> tasks{
      {"car"},     {"truck", "construction_vehicle"}, {"bus", "trailer"},
      {"barrier"}, {"motorcycle", "bicycle"},         {"pedestrian", "traffic_cone"}};

  // Cells, z one more than the range holds, as the network was trained.
  SparseGrid grid() const;
  // Of the maps that heads make: an eighth of the grid's.
  std::int64_t map_width() const { return (grid().x + 7) / 8; }
  std::int64_t map_height() const { return (grid().y + 7) / 8; }
  std::vector<std::string> labels() const;  // of all tasks, in order: a box's label is an index here

  // Throws Error naming the field.
  void validate() const;
};

// Whether weights that were trained for the one network detect with the other: voxels of the same size, the same
// heights, the same classes in the same tasks.
bool same_scale(const CenterPointConfig& a, const CenterPointConfig& b);

// "0.075" or "0.1": nuScenes' official grids. Throws Error for another name.
CenterPointConfig centerpoint_preset(std::string_view name);

// From an object such as {"preset": "0.1", "score_threshold": 0.2}: a preset (0.075 when none is named) and changes to
// it. The keys are those of to_json(). Throws Error, beginning with `where`: not JSON, an unknown key, a wrong type, or
// what validate() finds.
CenterPointConfig centerpoint_config(const std::string& json_text, const std::string& where);
std::string to_json(const CenterPointConfig& config);

}  // namespace octet::models
