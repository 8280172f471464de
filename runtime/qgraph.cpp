#include "runtime/qgraph.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "runtime/error.h"
#include "runtime/weight_scan.h"

namespace octet {
namespace {

void check_edge(const QEdge& edge) {
  const Shape& s = edge.shape;
  const bool sparse = s.rank() == 4;
  require((s.rank() == 1 || s.rank() == 3 || sparse) && s.elements() > 0 &&
              (sparse ? s[0] <= 65536 : s.elements() <= std::numeric_limits<std::int32_t>::max()),
          "edge {}: the shape {} is neither [channels, height, width] nor [features] nor sparse [channels, z, y, x]",
          edge.name, s.str());
  if (!edge.quantised) return;
  const QuantParams& q = edge.quant;
  require(std::isnormal(q.step) && q.step > 0, "edge {}: the step {} is not a positive normal number", edge.name,
          q.step);
  const bool fits_s8 = q.lo >= -128 && q.hi <= 127;
  const bool fits_u8 = q.lo >= 0 && q.hi <= 255;
  const bool wide = q.wide() && q.zero == 0 && sparse;
  require(q.lo < q.hi && (fits_s8 || fits_u8 || wide), "edge {}: the range [{}, {}] is not within 8 bits", edge.name,
          q.lo, q.hi);
  require(q.zero >= q.lo && q.zero <= q.hi, "edge {}: the zero point {} lies outside of [{}, {}]", edge.name, q.zero,
          q.lo, q.hi);
}

// The Graph node of the same geometry, so that shapes are inferred by one function.
Node geometry_of(const QNode& q) {
  Node node{.name = q.name,
            .op = q.op,
            .inputs = q.inputs,
            .window = q.window,
            .sparse = q.sparse,
            .inverse_of = q.inverse_of,
            .groups = q.groups,
            .ceil_mode = q.ceil_mode,
            .count_include_pad = q.count_include_pad,
            .alpha = q.alpha,
            .beta = q.beta,
            .custom = q.custom};
  if (!q.weight.empty()) node.parameters.push_back({"weight", q.weight.shape(), {}});
  return node;
}

// What does not belong to an operation must not be there: kernels take the fields of a node at their word.
void check_fields(const QNode& node) {
  require(is_function(node.op) || (node.alpha == 0 && node.beta == 0), "{}: {} has no alpha or beta", node.name,
          name_of(node.op));
  const bool convolves = node.op == Op::conv2d || node.op == Op::conv_transpose2d;
  const bool slides =
      convolves || node.op == Op::max_pool || node.op == Op::avg_pool || node.op == Op::upsample || node.op == Op::pad;
  const bool many = node.op == Op::add || node.op == Op::concat || node.op == Op::mul || node.op == Op::custom;
  require(slides || node.window == Window{}, "{}: {} has no window", node.name, name_of(node.op));
  const bool no_sparse = node.sparse == SparseWindow{} && node.inverse_of.empty();
  require((node.op == Op::custom) == (node.custom != nullptr), "{}: {} {}", node.name, name_of(node.op),
          node.custom ? "is no custom operation" : "without its code");
  require(node.op == Op::sparse_conv || no_sparse, "{}: {} has no sparse window", node.name, name_of(node.op));
  require(convolves || node.groups == 1, "{}: {} has no groups", node.name, name_of(node.op));
  require(many || node.inputs.size() == 1, "{}: {} takes one input, not {}", node.name, name_of(node.op),
          node.inputs.size());
}

// Rule 12: every byte of the table is an integer that the output may hold.
void check_table(const QNode& node, const QuantParams& out) {
  const bool wanted = is_function(node.op) && node.precision == Precision::int8;
  require(wanted || node.table.empty(), "{}: {} in {} has no table", node.name, name_of(node.op),
          name_of(node.precision));
  if (!wanted) return;
  require(node.table.dtype() == DType::u8 && node.table.elements() == 256, "{}: a table of 256 bytes was expected",
          node.name);
  for (const std::uint8_t byte : node.table.span<std::uint8_t>()) {
    const std::int32_t q = out.lo >= 0 ? std::int32_t{byte} : std::int32_t{static_cast<std::int8_t>(byte)};
    require(q >= out.lo && q <= out.hi, "{}: its table holds {}, outside of [{}, {}]", node.name, q, out.lo, out.hi);
  }
}

bool usable_scale(float scale) { return std::isnormal(scale) && scale > 0; }

void check_integer_weights(const QNode& node, const QuantParams& in) {
  require(node.weight.dtype() == DType::s8, "{}: INT8 weights of type {}", node.name, name_of(node.weight.dtype()));
  const auto channels = static_cast<std::size_t>(node.weight.shape()[0]);
  require(node.bias_q.size() == channels && node.weight_step.size() == channels,
          "{}: {} output channels, but {} biases and {} weight steps", node.name, channels, node.bias_q.size(),
          node.weight_step.size());
  for (const float step : node.weight_step) {
    require(std::isnormal(step) && step > 0, "{}: the weight step {} is not a positive normal number", node.name, step);
  }
  require(!contains(node.weight.span<std::int8_t>(), -128), "{}: a weight of -128; [-127, 127] was expected",
          node.name);
  for (std::size_t c = 0; c < channels; ++c) {
    require(accumulator_bound(node, in, static_cast<std::int64_t>(c)) < (std::int64_t{1} << 31),
            "{}: the accumulator of channel {} may exceed 31 bits", node.name, c);
  }
}

void check_float_weights(const QNode& node) {
  require(node.weight.dtype() == DType::f32, "{}: fp32 weights of type {}", node.name, name_of(node.weight.dtype()));
  require(node.bias.empty() || (node.bias.dtype() == DType::f32 && node.bias.elements() == node.weight.shape()[0]),
          "{}: the bias does not fit the weight", node.name);
}

// A batch-norm by itself: scale and shift a channel.
void check_affine(const QNode& node) {
  require(node.weight.dtype() == DType::f32 && node.bias.dtype() == DType::f32 && !node.bias.empty() &&
              node.bias.elements() == node.weight.elements(),
          "{}: scale and shift do not fit each other", node.name);
}

void check_precision(const QGraph& graph, const QNode& node) {
  const QEdge& out = graph.edges[node.output];
  const bool integer = node.precision == Precision::int8;
  for (const EdgeId input : node.inputs) {
    const bool expected = node.op == Op::dequantise || (node.op != Op::quantise && integer);
    require(graph.edges[input].quantised == expected, "{}: its input {} should {}be quantised", node.name,
            graph.edges[input].name, expected ? "" : "not ");
  }
  const bool quantised_out = node.op == Op::quantise || (node.op != Op::dequantise && integer);
  const bool float_out = integer && has_weights(node.op) && !out.quantised;  // rule 13: heads and logits
  require(out.quantised == quantised_out || float_out, "{}: its output should {}be quantised", node.name,
          quantised_out ? "" : "not ");
  for (const EdgeId input : node.inputs) {
    const QEdge& in = graph.edges[input];
    require(node.op == Op::sparse_conv || !in.quantised || !in.quant.wide(),
            "{}: its input {} is wide, which only a sparse convolution reads", node.name, in.name);
  }
  require(node.op == Op::quantise || !out.quantised || !out.quant.wide(), "{}: a wide output; only quantise makes it",
          node.name);
  if (integer && moves_values(node.op)) {
    require(out.quant == graph.edges[node.inputs[0]].quant, "{}: its input and output must share step and zero point",
            node.name);
  }
  const bool folded_away = node.op == Op::batch_norm || node.op == Op::relu || node.op == Op::relu6;
  const bool only_real = node.op == Op::mul || node.op == Op::softmax;
  require(!(integer && (folded_away || only_real)), "{}: {} does not exist in INT8 by itself", node.name,
          name_of(node.op));
  check_table(node, out.quant);
}

}  // namespace

const char* name_of(Precision precision) { return precision == Precision::int8 ? "int8" : "fp32"; }

const char* name_of(Activation activation) {
  constexpr const char* names[] = {"none", "relu", "relu6"};
  return names[static_cast<int>(activation)];
}

std::int64_t accumulator_bound(const QNode& node, const QuantParams& in, std::int64_t channel) {
  const std::int64_t per_channel = node.weight.elements() / node.weight.shape()[0];
  const auto weights = node.weight.span<std::int8_t>().subspan(static_cast<std::size_t>(channel * per_channel),
                                                               static_cast<std::size_t>(per_channel));
  const std::int64_t furthest = std::max(in.hi - in.zero, in.zero - in.lo);
  const std::int64_t bias = node.bias_q[static_cast<std::size_t>(channel)];
  return std::abs(bias) + sums_of(weights).absolute * furthest;
}

SparseEdges sparse_edges(const QGraph& graph) {
  SparseEdges result;
  result.level.assign(graph.edges.size(), -1), result.rulebook.assign(graph.edges.size(), -1);
  const Shape& input = graph.edges[graph.input].shape;
  if (input.rank() == 4) result.level[graph.input] = result.plan.add_input(grid_of(input));
  for (const QNode& node : graph.nodes) {
    const int level = result.level[node.inputs[0]];
    for (const EdgeId edge : node.inputs) {
      require(result.level[edge] == level, "{}: its inputs {} and {} have different sites", node.name,
              graph.edges[node.inputs[0]].name, graph.edges[edge].name);
    }
    result.level[node.output] = node.op == Op::to_dense ? -1 : level;
    if (node.op != Op::sparse_conv) continue;
    const SparsePlan::Use use = result.plan.add(node.name, level, node.sparse, node.inverse_of);
    result.level[node.output] = use.level, result.rulebook[node.output] = use.rulebook;
  }
  return result;
}

std::vector<int> QGraph::consumers(EdgeId edge) const {
  std::vector<int> found;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (std::ranges::find(nodes[i].inputs, edge) != nodes[i].inputs.end()) found.push_back(static_cast<int>(i));
  }
  return found;
}

void QGraph::validate() const {
  const auto edge_count = static_cast<EdgeId>(edges.size());
  const auto exists = [&](EdgeId edge) { return edge >= 0 && edge < edge_count; };
  require(exists(input) && exists(output), "{}: no input or no output", name);
  for (const QEdge& edge : edges) check_edge(edge);
  require(!edges[input].quantised && !edges[output].quantised, "{}: its input and output must be real", name);

  const bool notebook = requantisation == Requantisation::notebook;
  for (const QEdge& edge : edges) {
    require(!notebook || !edge.quantised || (usable_scale(edge.notebook_scale) && edge.quant.zero == 0),
            "edge {}: the notebook's arithmetic needs a positive scale and no zero point", edge.name);
  }
  std::set<std::string> names;
  std::vector<bool> made(edges.size(), false);
  made[static_cast<std::size_t>(input)] = true;
  for (const QNode& node : nodes) {
    require(names.insert(node.name).second, "two nodes are named '{}'", node.name);
    require(!node.inputs.empty() && std::ranges::all_of(node.inputs, [&](EdgeId e) { return exists(e) && made[e]; }),
            "{}: an input is not made before it is used", node.name);
    require(exists(node.output) && !made[node.output], "{}: its output is made twice or does not exist", node.name);
    check_fields(node);
    std::vector<Shape> shapes;
    for (const EdgeId edge : node.inputs) shapes.push_back(edges[edge].shape);
    require(!has_weights(node.op) || !node.weight.empty(), "{}: no weights", node.name);
    const Shape shape = infer_shape(geometry_of(node), shapes);
    require(shape == edges[node.output].shape, "{}: makes {}, its edge says {}", node.name, shape.str(),
            edges[node.output].shape.str());
    check_precision(*this, node);
    const bool averages = node.op == Op::avg_pool || node.op == Op::global_avg_pool;
    require(!averages || shapes[0][1] * shapes[0][2] <= (1 << 23), "{}: the sum of {} values may exceed 31 bits",
            node.name, shapes[0][1] * shapes[0][2]);
    if (has_weights(node.op) && node.precision == Precision::int8) {
      check_integer_weights(node, edges[node.inputs[0]].quant);
      require(!notebook || usable_scale(node.notebook_weight_scale),
              "{}: the notebook's arithmetic needs a positive scale", node.name);
    } else if (has_weights(node.op)) {
      check_float_weights(node);
    } else if (node.op == Op::batch_norm) {
      check_affine(node);
    }
    made[node.output] = true;
  }
  require(made[static_cast<std::size_t>(output)], "{}: its output is never made", name);
  require(edges[output].shape.rank() != 4, "{}: its output {} is sparse; end with to_dense", name, edges[output].name);
  sparse_edges(*this);
}

}  // namespace octet
