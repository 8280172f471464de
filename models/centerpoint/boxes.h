// From the maps of the heads to boxes: decoding and non-maximum suppression. Every number comes from IEEE additions,
// multiplications and divisions and from runtime/real_functions.h, in one order: equal maps give equal boxes, to the
// last bit, on every device (rule 13).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "models/centerpoint/centerpoint.h"
#include "runtime/box_decode.h"

namespace octet::models {

using octet::Box;
using octet::from_above;

// What decoding one frame left out on the way to its boxes.
struct DecodeCounts {
  std::int64_t candidates = 0;          // cells with a score above the threshold
  std::int64_t out_of_range = 0;        // of these: centre outside of center_range, or sizes that are no numbers
  std::int64_t dropped_candidates = 0;  // of the rest: beyond most_candidates of a task
  std::int64_t dropped_boxes = 0;       // survivors of the suppression beyond most_boxes of a task
};

// The numbers of `config` as decoding uses them.
BoxDecoding box_decoding(const CenterPointConfig& config);

// A cell whose best class has a score above the threshold.
struct Candidate {
  Peak peak;
  std::int64_t cell = 0;
  std::size_t place = 0;  // among all that were found
};
// Those of one task, cells ascending; `maps` begins with channel 0 of `task`'s numbering.
std::vector<Candidate> find_candidates(std::span<const float> maps, const TaskMaps& task, const BoxDecoding& decoding);

// Their boxes, as box_of(candidate) makes them, sorted by score, descending, then by cell, ascending; those out of
// range are left out, and only then the rest is cut to most_candidates.
std::vector<Box> sorted_boxes(std::vector<Candidate> candidates, const BoxDecoding& decoding,
                              const std::function<Box(const Candidate&)>& box_of, DecodeCounts& counts);

// Both: the candidates of one task: of each cell its best class, sorted by score, descending, then by cell, ascending;
// only then cut to config.most_candidates. `maps` is [channels, height, width].
std::vector<Box> decode(std::span<const float> maps, const TaskMaps& task, const CenterPointConfig& config,
                        DecodeCounts& counts);

// Of candidates in that order, those that no better survivor suppresses; at most config.most_boxes.
std::vector<Box> suppress(std::span<const Box> sorted, const CenterPointConfig& config, std::size_t task,
                          DecodeCounts& counts);

// Both, for all tasks: the boxes of a frame, task by task, best first.
std::vector<Box> boxes_of(std::span<const float> maps, const CenterPointConfig& config, DecodeCounts& counts);

}  // namespace octet::models
