#include "models/centerpoint/centerpoint.h"

#include <fmt/format.h>
#include <algorithm>

#include "models/centerpoint/quantised_checkpoint.h"
#include "models/layers.h"
#include "runtime/error.h"

namespace octet::models {
namespace {

constexpr float kBackboneEps = 1e-3f;  // the encoder's and the neck's batch-norms; the heads keep PyTorch's 1e-5
constexpr int kFeatures = 5;           // x, y, z, intensity, time lag
constexpr int kHeadChannels = 64;

struct Encoder {
  Graph& g;

  // A sparse convolution under NAME.conv, its batch-norm and ReLU.
  EdgeId conv_norm_relu(EdgeId x, const ConvNames& names, int out, const SparseConvOptions& options) {
    x = g.sparse_conv(names.conv, x, out, options);
    x = g.batch_norm(names.norm, x, kBackboneEps);
    return g.observe(g.relu(names.activation, x), names.conv);
  }

  // NAME.0 the convolution, NAME.1 its batch-norm, NAME.2 the ReLU.
  EdgeId triple(EdgeId x, const std::string& name, int out, SparseConvOptions options) {
    options.bias = false;
    return conv_norm_relu(x, {name + ".0", name + ".1", name + ".2"}, out, options);
  }

  // Two submanifold convolutions, whose input is added before the last ReLU.
  EdgeId block(EdgeId input, const std::string& name, int channels) {
    const SparseConvOptions same{.submanifold = true, .bias = true};
    EdgeId x = conv_norm_relu(input, {name + ".conv1", name + ".bn1", name + ".relu1"}, channels, same);
    x = g.sparse_conv(name + ".conv2", x, channels, same);
    x = g.observe(g.batch_norm(name + ".bn2", x, kBackboneEps), name + ".conv2");
    return g.observe(g.relu(name + ".relu2", g.add(name + ".add", {x, input})), name + ".add");
  }

  EdgeId stage(EdgeId x, const std::string& name, int first_block, int channels) {
    for (int i = 0; i < 2; ++i) x = block(x, fmt::format("{}.{}", name, first_block + i), channels);
    return x;
  }
};

// det3d's SpMiddleResNetFHD: 16, 32, 64, 128 channels at 1, 1/2, 1/4, 1/8 of the resolution, then the height is halved
// once more and its two levels become channels.
EdgeId encoder(Graph& g, EdgeId x) {
  Encoder e{g};
  x = e.triple(x, "backbone.conv_input", 16, {.submanifold = true});
  x = e.stage(x, "backbone.conv1", 0, 16);
  const SparseConvOptions halve{.stride = {2, 2, 2}, .padding = {1, 1, 1}};
  x = e.stage(e.triple(x, "backbone.conv2", 32, halve), "backbone.conv2", 3, 32);
  x = e.stage(e.triple(x, "backbone.conv3", 64, halve), "backbone.conv3", 3, 64);
  const SparseConvOptions flat{.stride = {2, 2, 2}, .padding = {0, 1, 1}};
  x = e.stage(e.triple(x, "backbone.conv4", 128, flat), "backbone.conv4", 3, 128);
  x = e.triple(x, "backbone.extra_conv", 128, {.kernel = {3, 1, 1}, .stride = {2, 1, 1}});
  return g.to_dense("backbone.dense", x);
}

// NAME.N the convolution, NAME.N+1 its batch-norm, NAME.N+2 the ReLU, as in a torch Sequential.
ConvNames in_sequence(const std::string& name, int n) {
  return {fmt::format("{}.{}", name, n), fmt::format("{}.{}", name, n + 1), fmt::format("{}.{}", name, n + 2)};
}

EdgeId neck_block(Graph& g, EdgeId x, int index, int channels, int stride) {
  const std::string name = fmt::format("neck.blocks.{}", index);
  for (int i = 0; i < 6; ++i) {  // index 0 of the first is its padding
    x = conv_norm_act(g, x, in_sequence(name, 1 + 3 * i),
                      {.out = channels,
                       .window = Window::square(3, i == 0 ? stride : 1, 1),
                       .activation = Activation::relu,
                       .eps = kBackboneEps});
  }
  return x;
}

EdgeId neck(Graph& g, EdgeId x) {
  const EdgeId fine = neck_block(g, x, 0, 128, 1);
  const EdgeId coarse = neck_block(g, fine, 1, 256, 2);
  const EdgeId a =
      conv_norm_act(g, fine, in_sequence("neck.deblocks.0", 0),
                    {.out = 256, .window = Window::square(1), .activation = Activation::relu, .eps = kBackboneEps});
  const ConvNames names = in_sequence("neck.deblocks.1", 0);
  EdgeId b = g.conv_transpose2d(names.conv, coarse, 256, {.window = Window::square(2, 2), .bias = false});
  b = g.observe(g.relu(names.activation, g.batch_norm(names.norm, b, kBackboneEps)), names.conv);
  return g.concat("neck.concat",
                  {a, b});  // not observed: its range holds both of theirs, and one of them moves no byte
}

// 3x3 convolution with bias, batch-norm, ReLU: NAME.0, NAME.1, NAME.2.
EdgeId head_conv(Graph& g, EdgeId x, const std::string& name) {
  x = g.conv2d(name + ".0", x, kHeadChannels, {.window = Window::square(3, 1, 1)});
  return g.observe(g.relu(name + ".2", g.batch_norm(name + ".1", x)), name + ".0");
}

int channels_of(const Head& head, std::size_t classes) {
  return head.channels == 0 ? static_cast<int>(classes) : head.channels;
}

// Each head's first convolution is followed by its second at once: the 64 channels between the two stay in a core's
// second-level cache (2 MB at 180 x 180), where one wide convolution of all 36 would write and read 75 MB.
EdgeId heads(Graph& g, EdgeId x, const CenterPointConfig& config) {
  x = head_conv(g, x, "bbox_head.shared_conv");
  std::vector<EdgeId> maps;
  for (std::size_t t = 0; t < config.tasks.size(); ++t) {
    for (const Head& head : centerpoint_heads()) {
      const std::string name = fmt::format("bbox_head.tasks.{}.{}", t, head.name);
      maps.push_back(g.conv2d(name + ".3", head_conv(g, x, name), channels_of(head, config.tasks[t].size()),
                              {.window = Window::square(3, 1, 1)}));
    }
  }
  return g.concat("maps", maps);
}

// [kz, ky, kx, C, O] -> [O, kz, ky, kx, C].
Tensor outputs_first(const Tensor& weight) {
  const Tensor values = weight.to_f32();
  const Shape& s = values.shape();
  const std::int64_t outputs = s[4], rest = s.elements() / outputs;
  Tensor turned(DType::f32, Shape{outputs, s[0], s[1], s[2], s[3]});
  const auto from = values.span<float>();
  const auto to = turned.span<float>();
  for (std::int64_t i = 0; i < rest; ++i) {
    for (std::int64_t o = 0; o < outputs; ++o) {
      to[static_cast<std::size_t>(o * rest + i)] = from[static_cast<std::size_t>(i * outputs + o)];
    }
  }
  return turned;
}

}  // namespace

const std::vector<Head>& centerpoint_heads() {
  static const std::vector<Head> all = {{"reg", 2}, {"height", 1}, {"dim", 3}, {"rot", 2}, {"vel", 2}, {"hm", 0}};
  return all;
}

HeadMaps head_maps(const CenterPointConfig& config) {
  HeadMaps maps;
  int label = 0;
  for (const auto& classes : config.tasks) {
    TaskMaps task;
    int* const offsets[] = {&task.reg, &task.height, &task.dim, &task.rot, &task.vel, &task.hm};
    for (std::size_t h = 0; h < centerpoint_heads().size(); ++h) {
      *offsets[h] = maps.channels;
      maps.channels += channels_of(centerpoint_heads()[h], classes.size());
    }
    task.classes = static_cast<int>(classes.size());
    task.first_label = label;
    label += task.classes;
    maps.tasks.push_back(task);
  }
  return maps;
}

Graph centerpoint(const CenterPointConfig& config) {
  config.validate();
  Graph g("centerpoint");
  const EdgeId voxels = g.observe(g.sparse_input("voxels", kFeatures, config.grid()), "voxels");
  g.set_output(heads(g, neck(g, encoder(g, voxels)), config));
  g.validate_structure();
  return g;
}

StateDict in_graph_layout(const StateDict& checkpoint, const Graph& graph) {
  std::map<std::string, Shape> sparse;
  for (const Node& node : graph.nodes()) {
    if (node.op == Op::sparse_conv) sparse[node.name + ".weight"] = node.parameters.front().shape;
  }
  StateDict result;
  for (const auto& [name, tensor] : without_quantisers(checkpoint, graph)) {
    const auto wanted = sparse.find(name);
    const Shape& s = tensor.shape();
    const bool turn = wanted != sparse.end() && s.rank() == 5 && s != wanted->second &&
                      Shape{s[4], s[0], s[1], s[2], s[3]} == wanted->second;
    result.insert(name, turn ? outputs_first(tensor) : tensor);
  }
  return result;
}

}  // namespace octet::models
