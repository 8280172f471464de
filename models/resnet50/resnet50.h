// ResNet50 v1.5 (the stride of a stage in its first 3x3 convolution), torchvision's state-dict keys, 25,557,032
// parameters, 53 convolutions.
// Input: 3 x 224 x 224, RGB, (p / 255 - mean) / std with the ImageNet statistics. Output: 1000 logits.
#pragma once

#include <array>

#include "runtime/graph.h"

namespace octet::models {

// The defaults are torchvision's network.
struct ResNet50Options {
  std::array<int, 4> blocks{3, 4, 6, 3};  // bottlenecks a stage
  int classes = 1000;
  int side = 224;  // of the square input
};

// Without weights.
Graph resnet50(const ResNet50Options& options = {});

}  // namespace octet::models
