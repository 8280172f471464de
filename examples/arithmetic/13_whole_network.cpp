// 13  The whole cat/dog network on one photo, layer by layer, in integers.
//     Every layer's kernel, steps and bytes; of each convolution and linear layer one output is computed again by hand,
//     from the bytes of the layer before it. Without a photo: a made one.
//         13_whole_network build/photos/cat/cat.jpg
#include <map>

#include "examples/common/lesson.h"
#include "models/classifier.h"
#include "models/tensor_hash.h"
#include "runtime/arithmetic.h"

using namespace octet;

namespace {

struct Edge {
  std::vector<int> q;  // in C, H, W order
  std::string hash;
};

// A disc on stripes, 200 x 160: nothing of it needs a licence.
Image made_photo() {
  Image image{200, 160, Tensor(DType::u8, Shape{160, 200, 3})};
  for (int i = 0; std::uint8_t & byte : image.pixels.span<std::uint8_t>()) {
    const int x = i / 3 % 200, y = i / 600, channel = i % 3;
    const bool disc = (x - 110) * (x - 110) + (y - 70) * (y - 70) < 2500;
    byte = static_cast<std::uint8_t>(disc ? 200 - 30 * channel : (x / 8 + y / 12) % 2 * 90 + 40 * channel);
    ++i;
  }
  return image;
}

// The accumulator of output (0, y, x) of a convolution, or of output 0 of a linear layer.
std::int64_t sum_at(const QGraph& g, const QNode& node, const std::vector<int>& in, int y, int x) {
  const QEdge& edge = g.edges[node.inputs[0]];
  const auto weight = node.weight.span<std::int8_t>();
  const std::int64_t per_output = node.weight.elements() / node.weight.shape()[0];
  const Window& w = node.window;
  std::int64_t sum = node.bias_q[0];
  for (std::int64_t i = 0; i < per_output; ++i) {
    std::int64_t from = i;  // linear: the features in their order
    if (node.op == Op::conv2d) {
      const std::int64_t tap = i % (w.kernel_h * w.kernel_w), c = i / (w.kernel_h * w.kernel_w);
      from = (c * edge.shape[1] + y + tap / w.kernel_w) * edge.shape[2] + x + tap % w.kernel_w;
    }
    sum += std::int64_t{in[from] - edge.quant.zero} * weight[i];
  }
  return sum;
}

void print_layer(const QGraph& g, const QNode& node, const std::map<EdgeId, Edge>& edges) {
  const QEdge& out = g.edges[node.output];
  fmt::print("{:<10} {} -> {}, {} products\n", node.name, name_of(node.op), out.shape.str(), node.macs);
  if (!edges.contains(node.output)) return;
  const Edge& made = edges.at(node.output);
  const auto [lo, hi] = std::ranges::minmax(made.q);
  fmt::print("{:<10} step {:<12} q from {} to {}, hash {}\n", "", out.quant.step, lo, hi, made.hash);
  if (node.weight.empty()) return;
  const int y = out.shape.rank() == 3 ? static_cast<int>(out.shape[1]) / 2 : 0;
  const std::size_t at = static_cast<std::size_t>(out.shape.rank() == 3 ? y * out.shape[2] + y : 0);
  const std::int64_t sum = sum_at(g, node, edges.at(node.inputs[0]).q, y, y);
  const float step_in = g.edges[node.inputs[0]].quant.step;
  const float m = arithmetic::multiplier(step_in, node.weight_step[0], out.quant.step);
  const int lowest = node.activation == Activation::none ? out.quant.lo : arithmetic::relu_lo(out.quant);
  fmt::print("{:<10} by hand: sum {} * m {} -> {}; the kernel says {}\n", "", sum, m,
             arithmetic::requantise(static_cast<std::int32_t>(sum), m, lowest, out.quant.hi, out.quant.zero),
             made.q[at]);
}

void walk(const std::string& path) {
  const models::LoadedModel model = models::load_model("catdog", {.precision = Precision::int8});
  for (const std::string& note : model.notes) fmt::print(stderr, "note: {}\n", note);
  ThreadPool pool(1);
  models::Classifier classifier(model, pool, 1, true);
  const Image photo = path.empty() ? made_photo() : load_image(path);
  std::map<EdgeId, Edge> edges;
  const Context::Hook keep = [&](EdgeId edge, const View& view) {
    if (!model.network.edges[edge].quantised) return;
    Fnv1a hash;
    models::for_each_nchw(view, [&](int q) { edges[edge].q.push_back(q), hash.add(static_cast<std::uint8_t>(q)); });
    edges[edge].hash = hex(hash.value());
  };
  const auto logits = classifier.run({&photo, 1}, &keep);
  fmt::print("photo {} x {}, resized: {}\n\n", photo.width, photo.height, model.preprocess.str());
  for (const QNode& node : model.network.nodes) print_layer(model.network, node, edges);
  const auto scores = models::softmax(logits);
  for (std::size_t c = 0; c < scores.size(); ++c)
    fmt::print("\n{}: logit {}, score {:.3f}", model.labels[c], logits[c], scores[c]);
  fmt::print("\n\nIt is a {}.\n", model.labels[static_cast<std::size_t>(models::top1(logits))]);
}

}  // namespace

int main(int argc, char** argv) {
  std::string photo;
  examples::Lesson lesson("13_whole_network", "The cat/dog network on one photo, layer by layer");
  lesson.argument("PHOTO", photo, "a JPEG, PNG or BMP; without one: a made picture");
  return lesson.run(argc, argv, [&] { walk(photo); });
}
