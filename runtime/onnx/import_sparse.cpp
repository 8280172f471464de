// Sparse networks: the operators of the domain octet.sparse (sparse.md).
#include <algorithm>

#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/onnx/importer.h"
#include "runtime/onnx/sparse_operators.h"

namespace octet::onnx {
namespace {

constexpr std::int32_t kFloat = 1, kInt32 = 6, kInt64 = 7;  // TensorProto.DataType

std::vector<std::int64_t> three(const NodeProto& node, Attributes& attributes, const char* name) {
  std::vector<std::int64_t> values = attributes.integers(name, {});
  require(values.size() == 3, "{}: {} has {} values; three (z, y, x) were expected", node.str(), name, values.size());
  return values;
}

SparseWindow::Triple triple(const NodeProto& node, Attributes& attributes, const char* name) {
  SparseWindow::Triple result{};
  const std::vector<std::int64_t> values = three(node, attributes, name);
  for (std::size_t i = 0; i < 3; ++i) {
    require(values[i] >= 0 && values[i] <= 32767, "{}: {} of {}; 0 to 32767 were expected", node.str(), name,
            values[i]);
    result[i] = static_cast<int>(values[i]);
  }
  return result;
}

SparseGrid grid(const NodeProto& node, Attributes& attributes, const char* name) {
  const std::vector<std::int64_t> v = three(node, attributes, name);
  const SparseGrid result{v[0], v[1], v[2]};
  check(node.str(), result);
  return result;
}

SparseWindow window(const NodeProto& node, Attributes& attributes) {
  return {.kernel = triple(node, attributes, "kernel_shape"),
          .stride = triple(node, attributes, "strides"),
          .padding = triple(node, attributes, "padding"),
          .dilation = triple(node, attributes, "dilations")};
}

}  // namespace

bool Importer::is_sparse() const {
  return std::ranges::any_of(model_.nodes, [](const NodeProto& n) { return n.domain == kSparseDomain; });
}

// Features f32 [sites, C], coordinates s32 [sites, 4] and, where the file has it, the number of frames, an s64.
void Importer::make_sparse_input() {
  const ValueInfo *features = nullptr, *sites = nullptr;
  for (const ValueInfo& input : model_.inputs) {
    const bool matrix = input.dims.size() == 2;
    const std::int64_t columns = matrix ? input.dims[1] : 0;
    if (features == nullptr && input.elem_type == kFloat && columns > 0) {
      features = &input;
    } else if (sites == nullptr && input.elem_type == kInt32 && columns == 4) {
      sites = &input;
    } else {
      require(frames_.empty() && input.elem_type == kInt64 && input.dims.empty(),
              "{}: a sparse network takes features f32 [sites, C], coordinates s32 [sites, 4] and the number of frames "
              "s64 []; its input '{}' is none of them",
              graph_.name(), printable(input.name));
      frames_ = input.name;
    }
  }
  require(features != nullptr && sites != nullptr, "{}: a sparse network without {}", graph_.name(),
          features == nullptr ? "features f32 [sites, C]" : "coordinates s32 [sites, 4]");
  const auto reads = [&](const NodeProto& n) {
    return n.domain == kSparseDomain && std::ranges::find(n.inputs, sites->name) != n.inputs.end();
  };
  const auto first = std::ranges::find_if(model_.nodes, reads);
  require(first != model_.nodes.end(), "{}: nobody reads its coordinates '{}'", graph_.name(), printable(sites->name));
  Attributes attributes(*first);
  const SparseGrid cells = grid(*first, attributes, "input_grid");
  require(features->dims[1] <= 65536, "{}: {} features a site", graph_.name(), features->dims[1]);
  const EdgeId edge = graph_.sparse_input(features->name, static_cast<int>(features->dims[1]), cells);
  const auto dims = shape(edge).dims();
  activations_[features->name] = {edge, {dims.begin(), dims.end()}};
  names_.insert(features->name);
  sites_[sites->name] = {.grid = cells, .level = 0};
}

Importer::Sites& Importer::sites(const NodeProto& node, std::size_t input) {
  const auto found = has_input(node, input) ? sites_.find(node.inputs[input]) : sites_.end();
  require(found != sites_.end(), "{}: its input {} is not coordinates", node.str(), input);
  return found->second;
}

// Input `at` must be the coordinates of the activation `x`, on the grid that the node names.
Importer::Sites& Importer::sites_of_input(const NodeProto& node, Attributes& attributes, EdgeId x, std::size_t at) {
  Sites& in = sites(node, at);
  require(grid(node, attributes, "input_grid") == in.grid, "{}: input_grid is not {}, the grid of its coordinates",
          node.str(), in.grid.str());
  require(in.level >= 0 && graph_.edges()[static_cast<std::size_t>(x)].level == in.level,
          "{}: its features do not belong to its coordinates '{}'", node.str(), printable(node.inputs[at]));
  return in;
}

void Importer::sparse_sites(const NodeProto& node) {
  inputs_between(node, 1, 1);
  Attributes attributes(node);
  const Sites& from = sites(node, 0);
  Sites made{.from = node.inputs[0], .window = window(node, attributes)};
  require(grid(node, attributes, "input_grid") == from.grid, "{}: input_grid is not {}, the grid of its input",
          node.str(), from.grid.str());
  made.grid = grid(node, attributes, "output_grid");
  const SparseGrid expected = output_grid(node.str(), from.grid, made.window);
  require(made.grid == expected, "{}: output_grid is not {}", node.str(), expected.str());
  attributes.finish();
  require(sites_.emplace(node.outputs[0], made).second, "{}: its output is there already", node.str());
}

void Importer::sparse_conv(const NodeProto& node) {
  inputs_between(node, 4, 5);
  const EdgeId x = edge(node, 0);
  NodeProto plain = node;  // as other layers have their inputs: x, weight, bias
  plain.inputs.erase(plain.inputs.begin() + 1, plain.inputs.begin() + 3);
  const Tensor weight = finite(node, constant(plain, 1, "weight"), "weight");
  Attributes attributes(node);
  Node made{.name = layer_name(node, plain.inputs[1]), .op = Op::sparse_conv, .inputs = {x}};
  made.sparse = window(node, attributes);
  made.sparse.submanifold = attributes.integer("submanifold", 0) != 0;
  made.sparse.inverse = attributes.integer("inverse", 0) != 0;
  made.inverse_of = attributes.text("inverse_of", "");
  const Sites& in = sites_of_input(node, attributes, x, 1);
  Sites& out = sites(node, 2);
  require(grid(node, attributes, "output_grid") == out.grid, "{}: output_grid is not {}, the grid of its coordinates",
          node.str(), out.grid.str());
  const bool kept = made.sparse.submanifold, back = made.sparse.inverse;
  require(!kept || node.inputs[1] == node.inputs[2], "{}: a submanifold convolution keeps its coordinates", node.str());
  require(kept || back || (out.from == node.inputs[1] && out.window == made.sparse),
          "{}: its output's coordinates were not made of its input's with its own geometry", node.str());
  require(!back || out.level >= 0, "{}: nothing came from the coordinates that it goes back to", node.str());
  if (back) made.sparse.restored = out.grid;
  check_rulebook(node, attributes, made.sparse);
  const std::string layout = attributes.text("weight_layout", kWeightLayout);
  require(layout == kWeightLayout, "{}: weight_layout '{}'; {} is supported", node.str(), printable(layout),
          kWeightLayout);
  attributes.finish();
  made.parameters.push_back({"weight", weight.shape(), weight});
  if (has_input(plain, 2)) {
    const Tensor bias = finite(node, constant(plain, 2, "bias"), "bias");
    require(weight.shape().rank() == 5 && bias.shape() == Shape{weight.shape()[0]},
            "{}: a bias of {} for a weight of {}", node.str(), bias.shape().str(), weight.shape().str());
    made.parameters.push_back({"bias", bias.shape(), bias});
  }
  made.integers = integers_of_layer(plain, 0, 1, 1);
  const EdgeId output = append(std::move(made));
  const int level = graph_.edges()[static_cast<std::size_t>(output)].level;
  if (out.level < 0) out.level = level;
  require(out.level == level && (!kept || level == in.level), "{}: its output does not belong to its coordinates '{}'",
          node.str(), printable(node.inputs[2]));
  define(node, output);
}

// Convolutions of one rulebook number promise the same geometry between the same sites.
void Importer::check_rulebook(const NodeProto& node, Attributes& attributes, const SparseWindow& window) {
  const std::int64_t number = attributes.integer("rulebook", -1);
  if (number < 0) return;
  const RulebookUse use{node.inputs[1], node.inputs[2], window};
  const auto [known, added] = rulebooks_.emplace(number, use);
  require(added || known->second == use, "{}: another convolution of rulebook {} has another geometry or other sites",
          node.str(), number);
}

void Importer::sparse_to_dense(const NodeProto& node) {
  inputs_between(node, 2, 3);
  const EdgeId x = edge(node, 0);
  Attributes attributes(node);
  sites_of_input(node, attributes, x, 1);
  attributes.finish();
  const std::string frames = has_input(node, 2) ? node.inputs[2] : "";
  require(frames.empty() || frames == frames_ || is_constant(frames),
          "{}: its number of frames '{}' is neither an input nor a constant", node.str(), printable(frames));
  define(node, append({.name = layer_name(node), .op = Op::to_dense, .inputs = {x}}));
}

}  // namespace octet::onnx
