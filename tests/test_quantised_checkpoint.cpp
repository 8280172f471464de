// CenterPoint from a checkpoint with quantisers and folded batch-norms, as the SparseConvolution walk-through saves
// them: made here from a seeded network, so that every integer it should give is known.
#include <doctest/doctest.h>

#include "calib/fold.h"
#include "calib/quantise.h"
#include "models/centerpoint/centerpoint.h"
#include "models/centerpoint/quantised_checkpoint.h"
#include "models/centerpoint/seeded.h"
#include "tests/point_frames.h"

using namespace octet;
using namespace octet::models;
using octet::testing::checkpoint_of;
using octet::testing::kSanitised;

namespace {

const char* const kSmall = R"({"range": [-3.2, -1.6, -5, 3.2, 1.6, 3], "voxel": [0.1, 0.1, 0.2]})";

// "backbone.conv2.3.conv1" -> "backbone.conv2.2.conv1": where the walk-through's Sequential has the block.
std::string shifted(std::string name) {
  for (const char stage : {'2', '3', '4'}) {
    const std::string blocks = std::string("backbone.conv") + stage + '.';
    if (name.starts_with(blocks) && (name[blocks.size()] == '3' || name[blocks.size()] == '4')) --name[blocks.size()];
  }
  return name;
}

Tensor tensor_of(const Shape& shape, const std::vector<float>& values) {
  Tensor t(DType::f32, shape);
  std::ranges::copy(values, t.span<float>().begin());
  return t;
}

std::vector<float> channel_amax(const Tensor& weight) {
  const auto values = weight.span<float>();
  const std::size_t channels = static_cast<std::size_t>(weight.shape()[0]), each = values.size() / channels;
  std::vector<float> amax(channels, 0.0f);
  for (std::size_t i = 0; i < values.size(); ++i) amax[i / each] = std::max(amax[i / each], std::fabs(values[i]));
  return amax;
}

struct Made {
  CenterPointConfig config = centerpoint_config(kSmall, "test");
  Graph graph = centerpoint(config);
  calib::Ranges ranges;

  Made() {
    seed_centerpoint(graph, config, 1);
    ranges = seeded_centerpoint_ranges(graph, config, 1);
  }
  float amax_of(EdgeId edge) const { return ranges.find(graph.edges()[static_cast<std::size_t>(edge)].observer)->amax; }

  // All of the encoder but its first layer quantised and folded; `weight_scale` on each channel's amax.
  StateDict checkpoint(float weight_scale = 1) const {
    const Graph folded = calib::fold_batch_norm(graph);
    StateDict all;
    const auto quantised = [](const std::string& name) {
      return name.starts_with("backbone.") && !name.starts_with("backbone.conv_input");
    };
    for (const auto& [key, tensor] : checkpoint_of(graph, false, "")) {
      if (!quantised(key)) all.insert(key, tensor);
    }
    for (const Node& node : folded.nodes()) {
      const std::string name = shifted(node.name);
      if (quantised(name) && node.op == Op::sparse_conv) {
        const Tensor& weight = node.parameter("weight");
        std::vector<float> amax = channel_amax(weight);
        for (float& a : amax) a *= weight_scale;
        all.insert(name + ".weight", weight);
        all.insert(name + ".bias", node.parameter("bias"));
        all.insert(name + "._input_quantizer._amax", tensor_of(Shape{1}, {folded_amax(folded, node.inputs[0])}));
        all.insert(name + "._weight_quantizer._amax", tensor_of(Shape{weight.shape()[0], 1, 1, 1, 1}, amax));
      } else if (quantised(name) && node.op == Op::add) {
        all.insert(name.substr(0, name.size() - 4) + ".quant_add._input_quantizer._amax",
                   tensor_of(Shape{1}, {folded_amax(folded, node.inputs[0])}));
      }
    }
    return all;
  }
  float folded_amax(const Graph& folded, EdgeId edge) const {
    return ranges.find(folded.edges()[static_cast<std::size_t>(edge)].observer)->amax;
  }
};

const QNode& node_of(const QGraph& network, const std::string& name) {
  const auto found = std::ranges::find(network.nodes, name, &QNode::name);
  REQUIRE(found != network.nodes.end());
  return *found;
}

bool same_weights(const Graph& a, const Graph& b) {
  for (std::size_t i = 0; i < a.nodes().size(); ++i) {
    for (const char* key : {"weight", "bias"}) {
      if (!a.nodes()[i].has(key) || a.nodes()[i].op == Op::batch_norm) continue;
      if (!std::ranges::equal(a.nodes()[i].parameter(key).span<float>(), b.nodes()[i].parameter(key).span<float>()))
        return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("a checkpoint with quantisers: its weights to the bit, its ranges, and the layers that it leaves in floats") {
  const Made made;
  const StateDict checkpoint = made.checkpoint();
  CHECK(checkpoint.contains("backbone.conv2.2.conv1._input_quantizer._amax"));
  CHECK(checkpoint.contains("backbone.conv1.0.quant_add._input_quantizer._amax"));
  Graph loaded = centerpoint(made.config);
  CHECK(loaded.load(in_graph_layout(checkpoint, loaded)).empty());
  CHECK(same_weights(calib::fold_batch_norm(loaded), calib::fold_batch_norm(made.graph)));

  const auto ranges = ranges_in(checkpoint, loaded);
  REQUIRE(ranges.has_value());
  CHECK(ranges->partial);
  CHECK(ranges->edges.size() == 1 + 8 * 3 + 3);  // of conv_input; three of each block; of the three that halve
  for (const calib::EdgeRange& e : ranges->edges) {
    CAPTURE(e.observer);
    CHECK(e.quant.step == made.ranges.find(e.observer)->quant.step);
  }
  CHECK(ranges->find("voxels") == nullptr);
  CHECK(ranges->find("backbone.extra_conv.0") == nullptr);

  const QGraph expected = calib::quantise(made.graph, made.ranges);
  const QGraph given =
      calib::quantise(loaded, calib::ranges_from_json(calib::to_json(*ranges), "as ranges.json brings it back"));
  int integers = 0;
  for (const QNode& node : given.nodes) {
    if (node.op != Op::sparse_conv) continue;
    CAPTURE(node.name);
    const bool last = node.name == "backbone.extra_conv.0", first = node.name == "backbone.conv_input.0";
    CHECK((node.precision == Precision::int8) == (!last && !first));
    if (node.precision != Precision::int8) continue;
    ++integers;
    const QNode& same = node_of(expected, node.name);
    CHECK(std::ranges::equal(node.weight.span<std::int8_t>(), same.weight.span<std::int8_t>()));
    CHECK(node.weight_step == same.weight_step);
    CHECK(node.bias_q == same.bias_q);
  }
  CHECK(integers == 19);
  CHECK(node_of(given, "backbone.extra_conv.0").why == "its output has no range");
  CHECK(node_of(given, "neck.blocks.0.1").precision == Precision::fp32);
}

TEST_CASE("the quantisers' limits of weights hold, also where the weights have grown beyond them") {
  if (kSanitised) return;  // half a minute
  const Made made;
  const StateDict checkpoint = made.checkpoint(0.5f);
  Graph loaded = centerpoint(made.config);
  loaded.load(in_graph_layout(checkpoint, loaded));
  const QGraph given = calib::quantise(loaded, *ranges_in(checkpoint, loaded));
  const QGraph whole = calib::quantise(made.graph, made.ranges);
  const QNode &clipped = node_of(given, "backbone.conv3.3.conv1"), &free = node_of(whole, "backbone.conv3.3.conv1");
  int halved = 0;
  for (std::size_t c = 0; c < clipped.weight_step.size(); ++c) {
    halved += clipped.weight_step[c] == free.weight_step[c] / 2 ? 1 : 0;  // but where the bias asks for more (rule 3)
  }
  CHECK(halved >= 60);
  std::size_t at_limit = 0;
  for (const std::int8_t q : clipped.weight.span<std::int8_t>()) at_limit += std::abs(q) == 127 ? 1u : 0u;
  CHECK(at_limit > 3 * clipped.weight_step.size());
}

TEST_CASE("checkpoints with quantisers that do not fit are refused") {
  if (kSanitised) return;  // half a minute
  const Made made;
  const StateDict checkpoint = made.checkpoint();
  const auto refuses = [&](const std::string& key, const Tensor& instead, const char* words) {
    StateDict changed;
    for (const auto& [name, tensor] : checkpoint) {
      if (name != key) changed.insert(name, tensor);
    }
    changed.insert(key, instead);
    CHECK_THROWS_WITH_AS(ranges_in(changed, made.graph), doctest::Contains(words), Error);
  };
  const std::string conv = "backbone.conv2.2.conv1";
  refuses(conv + "._input_quantizer._amax", tensor_of(Shape{1}, {std::nanf("")}), "the amax nan");
  refuses(conv + "._input_quantizer._amax", tensor_of(Shape{2}, {1, 2}), "2 values; 1 was expected");
  refuses(conv + "._weight_quantizer._amax", tensor_of(Shape{3}, {1, 2, 3}), "3 values; 1 or 32 was expected");
  refuses("backbone.conv9.0._input_quantizer._amax", tensor_of(Shape{1}, {1}), "no layer of that name");
  CHECK_FALSE(ranges_in(checkpoint_of(made.graph, false), made.graph).has_value());
}
