// MobileNetV2: inverted residual blocks, torchvision's state-dict keys, 3,504,872 parameters, 52 convolutions.
// Input: 3 x 224 x 224, RGB, (p / 255 - mean) / std with the ImageNet statistics. Output: 1000 logits.
#pragma once

#include <vector>

#include "runtime/graph.h"
#include "runtime/qgraph.h"

namespace octet::models {

struct MobileNetV2Options {  // the defaults are torchvision's network
  double width = 1.0;        // multiplies every channel count, which then becomes a multiple of 8
  // Rows of expansion t, channels c, repeats n, stride s of the first.
  std::vector<std::vector<int>> blocks = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                                          {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
  Activation activation = Activation::relu6;  // or relu: the quantisation walk-through replaces one by the other
  int classes = 1000;
  int side = 224;  // of the square input
};

// Without weights. Throws Error for an empty table and for a row that is not four positive numbers.
Graph mobilenet_v2(const MobileNetV2Options& options = {});

}  // namespace octet::models
