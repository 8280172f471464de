// CenterPoint as one object: points in, boxes out, with what each stage took and what was left out on the way.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/voxelise.h"
#include "models/centerpoint/peak_heads.h"
#include "models/loaded_model.h"
#include "runtime/program.h"

namespace octet::models {

// How the configured network wants its points in voxels. Points may not fall into the grid's last level of z.
kernels::VoxelOptions voxel_options(const CenterPointConfig& config);

using Stages = std::vector<std::pair<std::string, double>>;  // names and milliseconds

struct Detection {  // what one frame came to
  kernels::VoxelCounts voxels;
  DecodeCounts decoded;
  std::vector<Box> boxes;  // task by task, best first
  // In order: voxelise, rulebooks, encoder, neck, heads, decode; their sum is the frame's time.
  Stages stages_ms;
  double total_ms() const;
};

// The stage of the network that a step or an edge of this name belongs to: "encoder", "neck" or "heads".
std::string stage_of(const std::string& layer);

class Detector {  // not thread-safe: one a thread
 public:
  // `pool` must outlive it. With keep_edges every layer is computed whole, for those who look at layers and maps;
  // otherwise the regression heads of an INT8 network are computed at the peaks of the heat maps only (peak_heads.h),
  // and program() has the other layers. Throws Error when the network does not take points.
  Detector(const LoadedModel& model, ThreadPool& pool, bool keep_edges = false);

  // points: f32 [n, 5] (runtime/io/points.h). A frame without points, or without one in range, has no boxes. With a
  // hook no stage of the network is timed by itself ("network").
  Detection run(const Tensor& points, const Context::Hook* hook = nullptr);

  const CenterPointConfig& config() const { return config_; }
  const Program& program() const { return *program_; }
  Context& context() { return *context_; }  // to time or watch single layers
  // Of the last frame:
  const SparseTensor& voxels() const { return voxels_; }
  const SparseGeometry* geometry() const { return context_->geometry(); }
  std::span<const float> maps() const { return maps_.span<float>(); }  // what program() makes

 private:
  void run_network(Detection& result, const Context::Hook* hook);
  void run_whole(Stages& stages);
  void run_peaks(Stages& stages);

  CenterPointConfig config_;
  ThreadPool& pool_;
  kernels::Voxeliser voxeliser_;
  std::optional<PeakHeads> peaks_;
  std::shared_ptr<const Program> program_;
  std::unique_ptr<Context> context_;
  SparseTensor voxels_;
  Tensor maps_;
};

}  // namespace octet::models
