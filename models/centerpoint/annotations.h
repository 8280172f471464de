// What people (or a simulator) say is in a LiDAR frame: FRAME.annotations.json beside FRAME.f32x5.bin, in nuScenes'
// terms. models/centerpoint/README.md describes the file.
#pragma once

#include <array>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace octet::models {

// A rigid motion, row by row: p in the one frame is m[0..2] * p + m[3] (by rows) in the other.
using Pose = std::array<double, 16>;

// A true box in the LiDAR's frame, in metres: centre, length along the heading, heading counter-clockwise from the x
// axis. (Octet's own boxes are det3d's: boxes.h.)
struct Annotation {
  static constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

  std::string label;  // one of nuScenes' ten classes; "bicycle_rack"; or another, which nothing scores
  double x = 0, y = 0, z = 0, length = 0, width = 0, height = 0, heading = 0;
  double vx = kUnknown, vy = kUnknown;  // metres a second
  std::string attribute;                // "vehicle.moving", ...; empty: none
  int points = -1;                      // of LiDAR and radar in the box; negative: nobody counted
};

struct Annotations {  // of one frame
  std::vector<Annotation> boxes;
  // From the LiDAR's frame to the vehicle's, and from that to the map's; the identity where the file has none.
  Pose lidar_to_ego = kIdentity, ego_to_global = kIdentity;

  static constexpr Pose kIdentity{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
};

// Instances without a box are skipped. Throws Error naming the file, the instance and the field: no JSON, a field of
// another type, a number that is not finite (velocities may be NaN or null), a size that is not positive.
Annotations read_annotations(const std::filesystem::path& path);

// The annotations beside a frame: NAME.annotations.json for NAME.f32x5.bin, NAME.pcd.bin, ...; nothing where there is
// no such file.
std::optional<std::filesystem::path> annotations_beside(const std::filesystem::path& frame);

}  // namespace octet::models
