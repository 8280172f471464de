// One cell of a detector's maps to one box: the arithmetic of decoding, for host and device, and the same bits on both
// (rule 13; exp, sigmoid and atan2 are runtime/real_functions.h's, nothing is fused). Plain: .cu files include it.
// models/centerpoint/boxes.h says what the results mean and what happens between them.
#pragma once

#include <cmath>
#include <cstdint>

#include "runtime/box_overlap.h"
#include "runtime/real_functions.h"

namespace octet {

// As det3d's decoder leaves it: (x, y, z) the centre in metres; at yaw 0 the box extends dx along the x axis and dy
// along y, and a positive yaw turns it clockwise (seen from above). An object's length is dy, and it heads for -yaw -
// pi / 2, counter-clockwise from the x axis.
struct Box {
  int label = 0;
  float score = 0;
  float x = 0, y = 0, z = 0, dx = 0, dy = 0, dz = 0, yaw = 0, vx = 0, vy = 0;
  bool operator==(const Box&) const = default;
};

// The channels of one task in the maps.
struct TaskMaps {
  int reg = 0;     // 2: where in its cell the centre is, x, y
  int height = 0;  // 1: z of the centre, metres
  int dim = 0;     // 3: logarithms of the sizes
  int rot = 0;     // 2: sine and cosine of the yaw
  int vel = 0;     // 2: metres a second
  int hm = 0;      // one a class: logits of the scores
  int classes = 0;
  int first_label = 0;  // of its classes among all
};

// What decoding has to know besides the maps, which are [channels, height, width].
struct BoxDecoding {
  int width = 0, height = 0;                      // cells
  float voxel_x = 0, voxel_y = 0;                 // metres; a cell is kStride of them
  float low_x = 0, low_y = 0;                     // metres: where the first cell begins
  float centre_low[3] = {}, centre_high[3] = {};  // metres: boxes with a centre outside are none
  float score_threshold = 0;
  float least_logit = 0;  // below it no score reaches the threshold: scores are only computed above it
  int most_candidates = 0, most_boxes = 0;  // of a task
  bool rotated = true;                      // suppression by overlap, or by distance
  float overlap = 0;                        // rotated: the largest IoU that both boxes survive

  static constexpr float kStride = 8;  // voxels from one cell of a map to the next
  // Of one map.
  OCTET_REAL_HD std::int64_t cells_of(const BoxDecoding& d) { return std::int64_t{d.width} * d.height; }
};

struct Peak {  // a cell's best class; `score` is 0 where none reaches the threshold
  float score = 0;
  int label = 0;
};

// Of one task, in cell `cell` of the whole maps; the first of equally good classes.
OCTET_REAL_HD Peak peak_at(const float* maps, const TaskMaps& task, const BoxDecoding& d, std::int64_t cell) {
  const std::int64_t size = BoxDecoding::cells_of(d);
  int best = 0;
  float logit = maps[task.hm * size + cell];
  for (int c = 1; c < task.classes; ++c) {
    const float other = maps[(task.hm + c) * size + cell];
    if (other > logit) logit = other, best = c;
  }
  if (!(logit >= d.least_logit)) return {};
  const float score = real::sigmoid(logit);
  return score > d.score_threshold ? Peak{score, task.first_label + best} : Peak{};
}

// From the cell's values, channel c at values[c * stride], in PyTorch's order of float operations.
OCTET_REAL_HD Box box_of(const float* values, std::int64_t stride, const TaskMaps& task, const BoxDecoding& d,
                         std::int64_t cell, const Peak& peak) {
  const auto at = [&](int channel) { return values[channel * stride]; };
  Box box;
  box.label = peak.label, box.score = peak.score;
  box.x = (static_cast<float>(cell % d.width) + at(task.reg)) * BoxDecoding::kStride * d.voxel_x + d.low_x;
  box.y = (static_cast<float>(cell / d.width) + at(task.reg + 1)) * BoxDecoding::kStride * d.voxel_y + d.low_y;
  box.z = at(task.height);
  box.dx = real::exp(at(task.dim));
  box.dy = real::exp(at(task.dim + 1));
  box.dz = real::exp(at(task.dim + 2));
  box.yaw = real::atan2(at(task.rot), at(task.rot + 1));
  box.vx = at(task.vel), box.vy = at(task.vel + 1);
  return box;
}

// The same, of the whole maps.
OCTET_REAL_HD Box box_at(const float* maps, const TaskMaps& task, const BoxDecoding& d, std::int64_t cell,
                         const Peak& peak) {
  return box_of(maps + cell, BoxDecoding::cells_of(d), task, d, cell, peak);
}

// Neither a NaN nor an infinity.
OCTET_REAL_HD bool is_finite(float x) { return x - x == 0.0f; }

// Whether its centre is in range and its sizes are numbers.
OCTET_REAL_HD bool in_range(const Box& b, const BoxDecoding& d) {
  const bool inside = b.x >= d.centre_low[0] && b.y >= d.centre_low[1] && b.z >= d.centre_low[2] &&
                      b.x <= d.centre_high[0] && b.y <= d.centre_high[1] && b.z <= d.centre_high[2];
  return inside && is_finite(b.dx) && is_finite(b.dy) && is_finite(b.dz) && is_finite(b.yaw);
}

// Whose side du is dx, dv is dy.
OCTET_REAL_HD BevBox from_above(const Box& b) { return BevBox::of(b.x, b.y, b.dx, b.dy, -static_cast<double>(b.yaw)); }

// Whether their centres, seen from above, are no farther apart: suppression by distance.
OCTET_REAL_HD bool is_near(const Box& a, const Box& b, float squared_radius) {
  const float dx = a.x - b.x, dy = a.y - b.y;
  return dx * dx + dy * dy <= squared_radius;
}

}  // namespace octet
