#include "models/centerpoint/boxes.h"

#include <algorithm>
#include <cmath>

#include "runtime/error.h"
#include "runtime/float_environment.h"

namespace octet::models {
namespace {

constexpr float kStride = 8;  // voxels from one cell of a map to the next

struct Cell {
  float score = 0;
  std::int64_t index = 0;
  int label = 0;
};

// The logit below which no score reaches `threshold`, with a margin for roundings: scores are only computed above it.
float least_logit(float threshold) {
  if (threshold <= 0) return -std::numeric_limits<float>::infinity();
  const double t = threshold;
  return static_cast<float>(std::log(t / (1 - t)) - 1e-3);
}

std::vector<Cell> find_cells(std::span<const float> maps, const TaskMaps& task, const CenterPointConfig& config) {
  const auto size = static_cast<std::size_t>(config.map_width() * config.map_height());
  const float least = least_logit(config.score_threshold);
  std::vector<Cell> cells;
  for (std::size_t i = 0; i < size; ++i) {
    int best = 0;
    float logit = maps[static_cast<std::size_t>(task.hm) * size + i];
    for (int c = 1; c < task.classes; ++c) {
      const float other = maps[static_cast<std::size_t>(task.hm + c) * size + i];
      if (other > logit) logit = other, best = c;
    }
    if (!(logit >= least)) continue;
    const float score = real::sigmoid(logit);
    if (score > config.score_threshold) {
      cells.push_back({score, static_cast<std::int64_t>(i), task.first_label + best});
    }
  }
  return cells;
}

// In PyTorch's order of float operations.
Box box_at(std::span<const float> maps, const TaskMaps& task, const CenterPointConfig& config, const Cell& cell) {
  const std::int64_t width = config.map_width(), size = width * config.map_height();
  const auto at = [&](int channel) { return maps[static_cast<std::size_t>(channel * size + cell.index)]; };
  Box box;
  box.label = cell.label, box.score = cell.score;
  box.x = (static_cast<float>(cell.index % width) + at(task.reg)) * kStride * static_cast<float>(config.voxel[0]) +
          static_cast<float>(config.range[0]);
  box.y = (static_cast<float>(cell.index / width) + at(task.reg + 1)) * kStride * static_cast<float>(config.voxel[1]) +
          static_cast<float>(config.range[1]);
  box.z = at(task.height);
  box.dx = real::exp(at(task.dim)), box.dy = real::exp(at(task.dim + 1)), box.dz = real::exp(at(task.dim + 2));
  box.yaw = real::atan2(at(task.rot), at(task.rot + 1));
  box.vx = at(task.vel), box.vy = at(task.vel + 1);
  return box;
}

bool in_range(const Box& b, const CenterPointConfig& config) {
  const auto& r = config.center_range;
  const bool inside = b.x >= r[0] && b.y >= r[1] && b.z >= r[2] && b.x <= r[3] && b.y <= r[4] && b.z <= r[5];
  return inside && std::isfinite(b.dx) && std::isfinite(b.dy) && std::isfinite(b.dz) && std::isfinite(b.yaw);
}

bool is_near(const Box& a, const Box& b, float squared_radius) {
  const float dx = a.x - b.x, dy = a.y - b.y;
  return dx * dx + dy * dy <= squared_radius;
}

}  // namespace

BevBox from_above(const Box& box) { return BevBox::of(box.x, box.y, box.dx, box.dy, -static_cast<double>(box.yaw)); }

std::vector<Box> decode(std::span<const float> maps, const TaskMaps& task, const CenterPointConfig& config,
                        DecodeCounts& counts) {
  std::vector<Cell> cells = find_cells(maps, task, config);
  counts.candidates += static_cast<std::int64_t>(cells.size());
  std::ranges::sort(
      cells, [](const Cell& a, const Cell& b) { return a.score != b.score ? a.score > b.score : a.index < b.index; });
  std::vector<Box> boxes;
  for (const Cell& cell : cells) {
    const Box box = box_at(maps, task, config, cell);
    if (!in_range(box, config)) {
      ++counts.out_of_range;
    } else if (boxes.size() == static_cast<std::size_t>(config.most_candidates)) {
      ++counts.dropped_candidates;
    } else {
      boxes.push_back(box);
    }
  }
  return boxes;
}

std::vector<Box> suppress(std::span<const Box> sorted, const CenterPointConfig& config, std::size_t task,
                          DecodeCounts& counts) {
  const bool rotated = config.nms == CenterPointConfig::Nms::rotated;
  std::vector<Box> kept;
  std::vector<BevBox> kept_above;
  for (const Box& box : sorted) {
    const BevBox above = from_above(box);
    bool survives = true;
    for (std::size_t i = 0; i < kept.size() && survives; ++i) {
      survives = rotated ? !(overlap(kept_above[i], above) > static_cast<double>(config.overlap))
                         : !is_near(kept[i], box, config.squared_radius[task]);
    }
    if (!survives) continue;
    kept.push_back(box), kept_above.push_back(above);
  }
  // Survivors beyond the limit are found too, so that they can be counted: the limit changes no other box.
  const auto most = static_cast<std::size_t>(config.most_boxes);
  if (kept.size() > most) {
    counts.dropped_boxes += static_cast<std::int64_t>(kept.size() - most);
    kept.resize(most);
  }
  return kept;
}

std::vector<Box> boxes_of(std::span<const float> maps, const CenterPointConfig& config, DecodeCounts& counts) {
  const FloatEnvironment environment;
  const HeadMaps heads = head_maps(config);
  require(maps.size() == static_cast<std::size_t>(heads.channels * config.map_width() * config.map_height()),
          "maps of {} values for {} channels of {} x {}", maps.size(), heads.channels, config.map_height(),
          config.map_width());
  std::vector<Box> all;
  for (std::size_t t = 0; t < heads.tasks.size(); ++t) {
    const std::vector<Box> sorted = decode(maps, heads.tasks[t], config, counts);
    const std::vector<Box> kept = suppress(sorted, config, t, counts);
    all.insert(all.end(), kept.begin(), kept.end());
  }
  return all;
}

}  // namespace octet::models
