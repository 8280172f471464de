// From a detector's maps in device memory to its boxes: models/centerpoint/boxes.h on a GPU, the same boxes in the same
// order, to the last bit. Nothing is allocated, nothing waits, nothing is truncated before it is sorted, and the
// launches do not depend on what is found: they may be recorded into a graph.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/box_decode.h"

struct CUstream_st;

namespace octet::kernels::cuda {

struct Decode {
  static constexpr int kMostTasks = 16;
  BoxDecoding decoding;
  int tasks = 0;
  TaskMaps maps[kMostTasks];
  float squared_radius[kMostTasks] = {};  // suppression by distance: m^2
};

// The result begins with one of these a task; then [task][most_boxes] Boxes, of which the first `kept` are set.
struct DecodeResult {
  std::int32_t candidates = 0;    // cells with a score above the threshold
  std::int32_t out_of_range = 0;  // of these
  std::int32_t kept = 0;          // boxes; most_boxes at the most
  std::int32_t survivors = 0;     // of the suppression, those beyond most_boxes too
};

// How many candidates of a task suppression sees at the most: Decode's own limit, or all cells.
constexpr std::int64_t sorted_limit(const BoxDecoding& d) {
  const std::int64_t cells = std::int64_t{d.width} * d.height;
  return d.most_candidates < cells ? d.most_candidates : cells;
}
// Device memory, both 256-byte aligned.
std::size_t decode_workspace_bytes(const Decode& decode);
std::size_t decode_result_bytes(const Decode& decode);

// `maps` [channels, height, width] and the other two lie in device memory. Returns a cudaError_t, 0 for success.
int launch_decode(const Decode& decode, const float* maps, void* workspace, void* result, CUstream_st* stream);

}  // namespace octet::kernels::cuda
