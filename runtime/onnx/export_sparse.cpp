// Sparse convolutions in the domain octet.sparse (sparse.md).
#include "runtime/error.h"
#include "runtime/onnx/exporter.h"
#include "runtime/onnx/sparse_operators.h"

namespace octet::onnx {
namespace {

constexpr std::int32_t kInt32 = 6, kInt64 = 7;  // TensorProto.DataType

std::vector<std::int64_t> longs(const SparseWindow::Triple& t) { return {t[0], t[1], t[2]}; }
std::vector<std::int64_t> longs(const SparseGrid& g) { return {g.z, g.y, g.x}; }

std::vector<Attribute> geometry(const SparseWindow& w, const SparseGrid& from, const SparseGrid& to) {
  return {integers("kernel_shape", longs(w.kernel)), integers("strides", longs(w.stride)),
          integers("padding", longs(w.padding)),     integers("dilations", longs(w.dilation)),
          integers("input_grid", longs(from)),       integers("output_grid", longs(to))};
}

}  // namespace

// Beside the features: where they are, and, for any batch, how many frames there are.
void Exporter::write_sites_input() {
  model_.opsets[kSparseDomain] = kSparseVersion;
  sites_.resize(sparse_.plan.levels().size());
  sites_[0] = reserve("input_sites");
  model_.inputs.push_back(
      {.name = sites_[0], .elem_type = kInt32, .dims = {-1, 4}, .names = {"sites", ""}, .has_shape = true});
  if (!options_.dynamic_batch) return;
  frames_ = reserve("batch_size");
  model_.inputs.push_back({.name = frames_, .elem_type = kInt64, .has_shape = true});
}

// The coordinates of a level; the first convolution that leads to it brings the operator that computes them.
std::string Exporter::sites_of(int level, const std::string& convolution) {
  std::string& name = sites_[index(level)];
  if (!name.empty()) return name;
  const SparseLevel& made = sparse_.plan.levels()[index(level)];
  const SparseGrid& from = sparse_.plan.levels()[index(made.from)].grid;
  name = reserve(convolution + "_sites");
  add(kSparseSites, name, {sites_[index(made.from)]}, name, geometry(made.window, from, made.grid)).domain =
      kSparseDomain;
  return name;
}

void Exporter::write_sparse(const QNode& node) {
  const int from = sparse_.level[index(node.inputs[0])], to = sparse_.level[index(node.output)];
  const auto& levels = sparse_.plan.levels();
  const std::string in = sites_[index(from)], out = sites_of(to, node.name);
  std::vector<std::string> inputs = weighted_inputs(node);
  inputs.insert(inputs.begin() + 1, {in, out});
  std::vector<Attribute> attributes = geometry(node.sparse, levels[index(from)].grid, levels[index(to)].grid);
  attributes.push_back(integer("submanifold", node.sparse.submanifold));
  attributes.push_back(integer("inverse", node.sparse.inverse));
  if (node.sparse.inverse) attributes.push_back(text("inverse_of", node.inverse_of));
  attributes.push_back(integer("rulebook", sparse_.rulebook[index(node.output)]));
  attributes.push_back(text("weight_layout", kWeightLayout));
  finish(node, kSparseConv, std::move(inputs), std::move(attributes)).domain = kSparseDomain;
}

void Exporter::to_dense(const QNode& node) {
  const int level = sparse_.level[index(node.inputs[0])];
  std::vector<std::string> inputs = inputs_of(node);
  inputs.push_back(sites_[index(level)]);
  if (!frames_.empty()) inputs.push_back(frames_);
  finish(node, kSparseToDense, std::move(inputs),
         {integers("input_grid", longs(sparse_.plan.levels()[index(level)].grid))})
      .domain = kSparseDomain;
}

}  // namespace octet::onnx
