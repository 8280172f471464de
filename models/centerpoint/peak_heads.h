// CenterPoint's heads where they matter. A box comes only from a cell whose heat map is above the threshold, some five
// in a hundred; what the five other heads of its task say about all other cells is never looked at. So the network
// makes heat maps alone, and the regression heads' two convolutions are computed around the candidates:
//
//     shared activation -> first convolutions, at the 3 x 3 cells around each candidate -> last ones, at the candidates
//
// Integers make the boxes equal to those of the whole maps to the last bit.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/isa.h"
#include "models/centerpoint/boxes.h"
#include "runtime/qgraph.h"
#include "runtime/thread_pool.h"
#include "runtime/view.h"

namespace octet::models {

// The heads of an INT8 network beside the heat maps, computed around the peaks alone.
class PeakHeads {
 public:
  // Why a network's heads have to be computed everywhere (they are not INT8, or have other names than the official
  // network's); empty when they need not.
  static std::string refuse(const QGraph& network, const CenterPointConfig& config);

  // Throws Error with refuse()'s reason. `network` is not needed afterwards.
  PeakHeads(const QGraph& network, const CenterPointConfig& config, kernels::Isa isa = kernels::chosen_isa());
  ~PeakHeads();

  // The network without its regression heads: its output is the heat maps of all tasks, [classes, height, width].
  const QGraph& network() const { return network_; }
  // The edge of network() that the regression heads read. Whoever runs network() gives keep() its value in each frame.
  EdgeId shared() const { return shared_; }
  void keep(const View& activation);

  // The boxes of the frame whose heat maps these are: boxes_of() of the whole maps. Not thread-safe.
  std::vector<Box> boxes(std::span<const float> heat_maps, ThreadPool& pool, DecodeCounts& counts);
  // Of the last frame: milliseconds of boxes() that went into convolutions.
  double convolutions_ms() const { return convolutions_ms_; }

 private:
  struct Task;
  std::span<const float> evaluate(Task& task, const std::vector<Candidate>& candidates, ThreadPool& pool);

  CenterPointConfig config_;
  BoxDecoding decoding_;
  QGraph network_;
  EdgeId shared_ = -1;
  std::vector<Task> tasks_;
  double convolutions_ms_ = 0;
  // The kept activation, [height * width][channels], and memory that is used again in every frame.
  View rows_;
  std::vector<std::byte> kept_, first_out_;
  std::vector<std::int32_t> place_;  // by cell: its row among those that are computed, -1 for the others
  std::vector<std::int64_t> cells_;
  std::vector<std::int32_t> first_map_, last_map_;
  std::vector<float> values_;
};

}  // namespace octet::models
