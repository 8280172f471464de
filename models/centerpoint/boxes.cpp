#include "models/centerpoint/boxes.h"

#include <algorithm>
#include <cmath>

#include "runtime/error.h"
#include "runtime/float_environment.h"

namespace octet::models {
namespace {

// The logit below which no score reaches `threshold`, with a margin for roundings.
float least_logit(float threshold) {
  if (threshold <= 0) return -std::numeric_limits<float>::infinity();
  const double t = threshold;
  return static_cast<float>(std::log(t / (1 - t)) - 1e-3);
}

}  // namespace

BoxDecoding box_decoding(const CenterPointConfig& config) {
  BoxDecoding d;
  d.width = static_cast<int>(config.map_width()), d.height = static_cast<int>(config.map_height());
  d.voxel_x = static_cast<float>(config.voxel[0]), d.voxel_y = static_cast<float>(config.voxel[1]);
  d.low_x = static_cast<float>(config.range[0]), d.low_y = static_cast<float>(config.range[1]);
  for (std::size_t i = 0; i < 3; ++i) {
    d.centre_low[i] = config.center_range[i], d.centre_high[i] = config.center_range[i + 3];
  }
  d.score_threshold = config.score_threshold, d.least_logit = least_logit(config.score_threshold);
  d.most_candidates = config.most_candidates, d.most_boxes = config.most_boxes;
  d.rotated = config.nms == CenterPointConfig::Nms::rotated, d.overlap = config.overlap;
  return d;
}

std::vector<Candidate> find_candidates(std::span<const float> maps, const TaskMaps& task, const BoxDecoding& decoding) {
  std::vector<Candidate> found;
  for (std::int64_t cell = 0; cell < BoxDecoding::cells_of(decoding); ++cell) {
    const Peak peak = peak_at(maps.data(), task, decoding, cell);
    if (peak.score > 0) found.push_back({peak, cell, found.size()});
  }
  return found;
}

std::vector<Box> sorted_boxes(std::vector<Candidate> candidates, const BoxDecoding& decoding,
                              const std::function<Box(const Candidate&)>& box_of, DecodeCounts& counts) {
  counts.candidates += static_cast<std::int64_t>(candidates.size());
  std::ranges::sort(candidates, [](const Candidate& a, const Candidate& b) {
    return a.peak.score != b.peak.score ? a.peak.score > b.peak.score : a.cell < b.cell;
  });
  std::vector<Box> boxes;
  for (const Candidate& candidate : candidates) {
    const Box box = box_of(candidate);
    if (!in_range(box, decoding)) {
      ++counts.out_of_range;
    } else if (boxes.size() == static_cast<std::size_t>(decoding.most_candidates)) {
      ++counts.dropped_candidates;
    } else {
      boxes.push_back(box);
    }
  }
  return boxes;
}

std::vector<Box> decode(std::span<const float> maps, const TaskMaps& task, const CenterPointConfig& config,
                        DecodeCounts& counts) {
  const BoxDecoding decoding = box_decoding(config);
  const auto box = [&](const Candidate& c) { return box_at(maps.data(), task, decoding, c.cell, c.peak); };
  return sorted_boxes(find_candidates(maps, task, decoding), decoding, box, counts);
}

std::vector<Box> suppress(std::span<const Box> sorted, const CenterPointConfig& config, std::size_t task,
                          DecodeCounts& counts) {
  const BoxDecoding decoding = box_decoding(config);
  std::vector<Box> kept;
  std::vector<BevBox> kept_above;
  for (const Box& box : sorted) {
    const BevBox above = from_above(box);
    bool survives = true;
    for (std::size_t i = 0; i < kept.size() && survives; ++i) {
      survives = decoding.rotated ? !(overlap(kept_above[i], above) > static_cast<double>(decoding.overlap))
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
