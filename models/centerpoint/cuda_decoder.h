// boxes_of() on a GPU: the maps stay where the network left them, and only the boxes come to the host. Compiled into
// every build; one without CUDA has nothing to construct it with. Proved on the emulated device (tests/simt) and not
// yet run on a GPU: nothing uses it until then.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/centerpoint/boxes.h"

struct CUstream_st;

namespace octet::models {

// boxes_of() (boxes.h) on a GPU: from maps in device memory to the same boxes in pinned memory.
class CudaDecoder {
 public:
  // Why a configuration is decoded on the CPU instead; empty when it need not be.
  static std::string refuse(const CenterPointConfig& config);

  // Takes device memory and pinned memory. Throws Error when there is not enough, or when refuse() has a reason.
  explicit CudaDecoder(const CenterPointConfig& config);
  ~CudaDecoder();

  // Puts decoding and the copy of its result on `stream`: no wait, no allocation; may be recorded into a graph.
  // maps: device memory, f32 [channels, height, width].
  void start(const float* maps, CUstream_st* stream);
  // The boxes of the last start(), whose stream the caller has waited for: those of boxes_of(), to the last bit. Adds
  // to `counts`.
  std::vector<Box> boxes(DecodeCounts& counts) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace octet::models
