#include "models/resnet50/resnet50.h"

#include <fmt/format.h>

#include "models/layers.h"

namespace octet::models {
namespace {

constexpr int kExpansion = 4;  // a bottleneck's output channels over its inner ones

// 1x1 to `width` channels, 3x3 (with the stride: v1.5), 1x1 to four times as many; the input, brought to that shape by
// a 1x1 convolution where it differs, is added before the last ReLU.
EdgeId bottleneck(Graph& g, EdgeId input, const std::string& name, int width, int stride) {
  const auto conv = [&](EdgeId x, int i, const ConvLayer& layer) {
    const std::string activation = layer.activation == Activation::none ? "" : fmt::format("{}.relu{}", name, i);
    return conv_norm_act(g, x, {fmt::format("{}.conv{}", name, i), fmt::format("{}.bn{}", name, i), activation}, layer);
  };
  const int out = width * kExpansion;
  EdgeId x = conv(input, 1, {.out = width, .window = Window::square(1), .activation = Activation::relu});
  x = conv(x, 2, {.out = width, .window = Window::square(3, stride, 1), .activation = Activation::relu});
  x = conv(x, 3, {.out = out, .window = Window::square(1)});
  EdgeId skip = input;
  if (stride != 1 || g.edges()[static_cast<std::size_t>(input)].shape[0] != out) {
    skip = conv_norm_act(g, input, {name + ".downsample.0", name + ".downsample.1", ""},
                         {.out = out, .window = Window::square(1, stride)});
  }
  const EdgeId sum = g.add(name + ".add", {x, skip});
  return g.observe(g.relu(name + ".relu3", sum), name + ".add");
}

}  // namespace

Graph resnet50(const ResNet50Options& o) {
  Graph g("resnet50");
  EdgeId x = g.observe(g.input("image", Shape{3, o.side, o.side}), "input");
  x = conv_norm_act(g, x, {"conv1", "bn1", "relu"},
                    {.out = 64, .window = Window::square(7, 2, 3), .activation = Activation::relu});
  x = g.max_pool("maxpool", x, Window::square(3, 2, 1));
  for (int stage = 0; stage < 4; ++stage) {
    for (int i = 0; i < o.blocks[static_cast<std::size_t>(stage)]; ++i) {
      const int stride = stage > 0 && i == 0 ? 2 : 1;
      x = bottleneck(g, x, fmt::format("layer{}.{}", stage + 1, i), 64 << stage, stride);
    }
  }
  x = mean_features(g, "avgpool", x);
  // The logits are not observed: they leave the classifier's integer sums as floats (rule 13), so that no two of the
  // 1000 classes tie for being rounded to the same step.
  g.set_output(g.linear("fc", x, o.classes));
  g.validate_structure();
  return g;
}

}  // namespace octet::models
