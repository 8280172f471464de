#include "models/mobilenet_v2/mobilenet_v2.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "models/layers.h"
#include "runtime/error.h"

namespace octet::models {
namespace {

// torchvision's Conv2dNormActivation: NAME.0 the convolution, NAME.1 the batch-norm, NAME.2 the activation.
ConvNames triple(const std::string& name) { return {name + ".0", name + ".1", name + ".2"}; }

void check(const MobileNetV2Options& o) {
  require(o.width > 0 && std::isfinite(o.width), "mobilenet_v2: a width of {}", o.width);
  require(!o.blocks.empty(), "mobilenet_v2: the table of blocks is empty; rows of t, c, n, s were expected");
  for (const auto& row : o.blocks) {
    require(row.size() == 4 && std::ranges::all_of(row, [](int v) { return v > 0; }),
            "mobilenet_v2: the row ({}) of the table of blocks: four positive numbers t, c, n, s were expected",
            fmt::join(row, ", "));
  }
}

// 1x1 expansion (absent when t is 1), 3x3 depthwise, 1x1 projection without activation; the input is added where the
// shapes allow it.
EdgeId inverted_residual(Graph& g, EdgeId input, const std::string& name, int expansion, int out, int stride,
                         Activation activation) {
  const auto in = static_cast<int>(g.edges()[static_cast<std::size_t>(input)].shape[0]);
  const int hidden = in * expansion;
  int layer = 0;
  const auto next = [&] { return fmt::format("{}.conv.{}", name, layer++); };
  EdgeId x = input;
  if (expansion != 1) {
    x = conv_norm_act(g, x, triple(next()), {.out = hidden, .window = Window::square(1), .activation = activation});
  }
  x = conv_norm_act(
      g, x, triple(next()),
      {.out = hidden, .window = Window::square(3, stride, 1), .groups = hidden, .activation = activation});
  const std::string project = next();
  x = conv_norm_act(g, x, {project, next(), ""}, {.out = out, .window = Window::square(1)});
  return stride == 1 && in == out ? residual_add(g, name + ".add", input, x) : x;
}

}  // namespace

Graph mobilenet_v2(const MobileNetV2Options& o) {
  check(o);
  Graph g(o.activation == Activation::relu6 ? "mobilenet_v2" : "mobilenet_v2_relu");
  int feature = 0;
  const auto next = [&] { return fmt::format("features.{}", feature++); };

  EdgeId x = g.observe(g.input("image", Shape{3, o.side, o.side}), "input");
  x = conv_norm_act(
      g, x, triple(next()),
      {.out = make_divisible(32 * o.width, 8), .window = Window::square(3, 2, 1), .activation = o.activation});
  for (const auto& row : o.blocks) {
    const int expansion = row[0], out = make_divisible(row[1] * o.width, 8), repeats = row[2], stride = row[3];
    for (int i = 0; i < repeats; ++i) {
      x = inverted_residual(g, x, next(), expansion, out, i == 0 ? stride : 1, o.activation);
    }
  }
  x = conv_norm_act(g, x, triple(next()),
                    {.out = make_divisible(1280 * std::max(1.0, o.width), 8),
                     .window = Window::square(1),
                     .activation = o.activation});
  x = mean_features(g, "mean", x);
  // The walk-through's dequantise stub stands behind the classifier: the logits are 8-bit too.
  x = g.observe(g.linear("classifier.1", x, o.classes), "classifier.1");
  g.set_output(x);
  g.validate_structure();
  return g;
}

}  // namespace octet::models
