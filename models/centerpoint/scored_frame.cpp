#include "models/centerpoint/scored_frame.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

#include "runtime/error.h"

namespace octet::models {
namespace {

constexpr const char* kRack = "bicycle_rack";

Pose product(const Pose& a, const Pose& b) {
  Pose p{};
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      for (std::size_t k = 0; k < 4; ++k) p[4 * i + j] += a[4 * i + k] * b[4 * k + j];
    }
  }
  return p;
}

// `w` is 1 for places and 0 for directions. Of a result only x and y are looked at: everything is measured from above.
std::array<double, 2> turned(const Pose& p, double x, double y, double z, double w) {
  return {p[0] * x + p[1] * y + p[2] * z + p[3] * w, p[4] * x + p[5] * y + p[6] * z + p[7] * w};
}

// From the LiDAR's frame to the map's.
void to_map(ScoredBox& box, const Pose& pose) {
  const auto place = turned(pose, box.x, box.y, box.z, 1);
  const auto ahead = turned(pose, std::cos(box.heading), std::sin(box.heading), 0, 0);
  const auto velocity = turned(pose, box.vx, box.vy, 0, 0);
  box.x = place[0], box.y = place[1];
  box.heading = std::atan2(ahead[1], ahead[0]);
  box.vx = velocity[0], box.vy = velocity[1];
}

ScoredBox scored(const Annotation& a, int kind) {
  return {.kind = kind,
          .x = a.x,
          .y = a.y,
          .z = a.z,
          .length = a.length,
          .width = a.width,
          .height = a.height,
          .heading = a.heading,
          .vx = a.vx,
          .vy = a.vy,
          .attribute = a.attribute,
          .points = a.points};
}

ScoredBox scored(const Box& b, int kind, const std::string& label) {
  const double vx = b.vx, vy = b.vy;
  return {.kind = kind,
          .x = b.x,
          .y = b.y,
          .z = b.z,
          .length = b.dy,
          .width = b.dx,
          .height = b.dz,
          .heading = -static_cast<double>(b.yaw) - std::numbers::pi / 2,
          .vx = vx,
          .vy = vy,
          .attribute = likely_attribute(label, std::hypot(vx, vy)),
          .score = b.score};
}

// The best ones, in their order.
std::vector<Box> at_most(std::span<const Box> found, std::size_t most) {
  std::vector<Box> kept(found.begin(), found.end());
  if (kept.size() <= most) return kept;
  std::vector<float> scores;
  for (const Box& box : kept) scores.push_back(box.score);
  std::ranges::nth_element(scores, scores.begin() + static_cast<std::ptrdiff_t>(most), std::greater{});
  const float limit = scores[most];  // of the first one too many; all better ones stay
  auto equal =
      static_cast<std::int64_t>(most) - std::ranges::count_if(kept, [&](const Box& b) { return b.score > limit; });
  std::erase_if(kept, [&](const Box& b) { return b.score < limit || (b.score == limit && equal-- <= 0); });
  return kept;
}

}  // namespace

std::string likely_attribute(const std::string& label, double speed) {
  constexpr double kMoving = 0.2;
  const bool cycle = label == "bicycle" || label == "motorcycle";
  if (label == "barrier" || label == "traffic_cone") return "";
  if (label == "pedestrian") return speed > kMoving ? "pedestrian.moving" : "pedestrian.standing";
  if (cycle) return speed > kMoving ? "cycle.with_rider" : "cycle.without_rider";
  if (speed > kMoving) return "vehicle.moving";
  return label == "bus" ? "vehicle.stopped" : "vehicle.parked";
}

FrameMatches score_frame(const Annotations& truth, std::span<const Box> found, const CenterPointConfig& config,
                         const MetricRules& rules) {
  std::vector<ScoredBox> real, seen, racks;
  for (const Annotation& a : truth.boxes) {
    if (a.label == kRack) racks.push_back(scored(a, -1));
    if (const int kind = rules.kind_named(a.label); kind >= 0) real.push_back(scored(a, kind));
  }
  const std::vector<std::string> labels = config.labels();
  std::vector<int> kinds;
  for (const std::string& label : labels) {
    kinds.push_back(rules.kind_named(label));
    require(kinds.back() >= 0, "the class '{}' cannot be scored: it is none of nuScenes' ten", label);
  }
  for (const Box& box : at_most(found, rules.most_boxes)) {
    const auto label = static_cast<std::size_t>(box.label);
    seen.push_back(scored(box, kinds[label], labels[label]));
  }
  // Bicycle racks stand upright in the LiDAR's frame, so boxes go to the map's afterwards.
  const Pose& vehicle = truth.ego_to_global;
  const Pose pose = product(vehicle, truth.lidar_to_ego);
  for (auto* boxes : {&real, &seen}) {
    for (ScoredBox& box : *boxes) {
      const auto place = turned(pose, box.x, box.y, box.z, 1);
      box.distance = std::hypot(place[0] - vehicle[3], place[1] - vehicle[7]);
    }
    filter_boxes(*boxes, racks, rules);
    for (ScoredBox& box : *boxes) to_map(box, pose);
  }
  return match_frame(real, seen, rules);
}

}  // namespace octet::models
