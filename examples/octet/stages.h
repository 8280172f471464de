// What each stage of a frame made, for `octet run --dump-stage` and `octet diff`: the way to the first stage in which
// two runs (two machines, two precisions, two versions) differ.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "examples/octet/cli.h"
#include "models/centerpoint/detector.h"
#include "runtime/state_dict.h"

namespace octet::cli {

// voxels, rulebook, conv3, bev, heads: in the order of the computation.
std::vector<std::string> stage_names();

class StageDump {
 public:
  // `last`: the stage up to which tensors are kept; empty: none.
  StageDump(const QGraph& graph, const std::string& last);
  void add(EdgeId edge, const View& view);  // from a Context's hook
  // [{"stage", "name", "type", "shape", "hash"}]; with a path also written there, as a safetensors file.
  json finish(const models::Detector& detector, const std::optional<std::string>& path);

 private:
  const QGraph& graph_;
  std::size_t stages_ = 0;
  std::map<std::string, Tensor> edges_;
};

void print_stages(const json& dump);

}  // namespace octet::cli
