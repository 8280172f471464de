#include "models/efficientnet_lite0/efficientnet_lite0.h"

#include <fmt/format.h>
#include <algorithm>

#include "models/layers.h"

namespace octet::models {
namespace {

constexpr float kEps = 1e-3f;  // TensorFlow's batch-norm

struct Stage {
  int kernel, stride, expansion, out, repeats;
};
constexpr Stage kStages[] = {{3, 1, 1, 16, 1},  {3, 2, 6, 24, 2},  {5, 2, 6, 40, 2}, {3, 2, 6, 80, 3},
                             {5, 1, 6, 112, 3}, {5, 2, 6, 192, 4}, {3, 1, 6, 320, 1}};

// TensorFlow's "SAME": ceil(side / stride) outputs, and where the padding is odd, the larger half behind. At stride 2
// on an even input that is 0 before and 1 behind for a 3x3 kernel, where PyTorch's own networks have 1 and 1.
Window same(int side, int kernel, int stride) {
  const int outputs = (side + stride - 1) / stride;
  const int padding = std::max(0, (outputs - 1) * stride + kernel - side);
  Window window = Window::square(kernel, stride);
  window.pad_top = window.pad_left = padding / 2;
  window.pad_bottom = window.pad_right = padding - padding / 2;
  return window;
}

struct Builder {
  Graph g{"efficientnet_lite0"};

  int channels(EdgeId x) const { return static_cast<int>(g.edges()[static_cast<std::size_t>(x)].shape[0]); }
  int side(EdgeId x) const { return static_cast<int>(g.edges()[static_cast<std::size_t>(x)].shape[1]); }

  EdgeId conv(EdgeId x, const std::string& name, const std::string& norm, int out, int kernel, int stride = 1,
              int groups = 1, Activation activation = Activation::relu6) {
    const std::string relu6 = activation == Activation::none ? "" : name + ".relu6";
    return conv_norm_act(g, x, {name, norm, relu6}, {out, same(side(x), kernel, stride), groups, activation, kEps});
  }

  EdgeId block(EdgeId input, const std::string& name, const Stage& s, int stride) {
    const int hidden = channels(input) * s.expansion;
    EdgeId x = input;
    if (s.expansion != 1) x = conv(x, name + "._expand_conv", name + "._bn0", hidden, 1);
    x = conv(x, name + "._depthwise_conv", name + "._bn1", hidden, s.kernel, stride, hidden);
    x = conv(x, name + "._project_conv", name + "._bn2", s.out, 1, 1, 1, Activation::none);
    return stride == 1 && channels(input) == s.out ? residual_add(g, name + ".add", input, x) : x;
  }
};

}  // namespace

Graph efficientnet_lite0(const EfficientNetLite0Options& o) {
  Builder b;
  EdgeId x = b.g.observe(b.g.input("image", Shape{3, o.side, o.side}), "input");
  x = b.conv(x, "_conv_stem", "_bn0", 32, 3, 2);
  int block = 0;
  for (const Stage& stage : kStages) {
    for (int i = 0; i < stage.repeats; ++i) {
      x = b.block(x, fmt::format("_blocks.{}", block++), stage, i == 0 ? stage.stride : 1);
    }
  }
  x = b.conv(x, "_conv_head", "_bn1", 1280, 1);
  x = mean_features(b.g, "mean", x);
  // The logits are not observed: they leave the classifier's integer sums as floats (rule 13).
  b.g.set_output(b.g.linear("_fc", x, o.classes));
  b.g.validate_structure();
  return std::move(b.g);
}

}  // namespace octet::models
