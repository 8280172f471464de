// Lowering of sparse activations: the frame's sites first, then convolutions over them and the way to a dense map.
#include "kernels/plan/planner.h"
#include "runtime/error.h"

namespace octet::kernels {

// The input lies in the caller's memory as kernels want it, row by row: nothing is copied.
void Planner::make_sparse_input() {
  const int input = make_value(graph_.input);
  layout_[input].place = Place::network_input;
  real_input_ = input;
  if (options_.voxels) {
    const SparseGrid &grid = options_.voxels->grid, &wanted = sparse_.plan.levels()[0].grid;
    require(grid == wanted, "{}: voxels of a grid of {}, the network's is {}", graph_.name, grid.str(), wanted.str());
    Pending voxels;
    voxels.step.name = "voxels", voxels.step.op = Op::sparse_conv, voxels.step.kind = Step::Kind::voxels;
    voxels.kernel = select("voxelise", options_, StepArgs{});
    voxels.kernel.put_into(voxels.step);
    voxels.output = input;
    steps_.push_back(std::move(voxels));
  }
  Pending sites;
  sites.step.name = "sites", sites.step.op = Op::sparse_conv, sites.step.kind = Step::Kind::sites;
  sites.step.variant = "sites_and_rulebooks";
  if (options_.gpu) {
    sites.kernel = select("sites", options_, StepArgs{});
    sites.kernel.put_into(sites.step);
  }
  sites.step.completes = {{graph_.input, input}};
  sites.output = input;
  steps_.push_back(std::move(sites));
}

void Planner::lower_sparse_conv(const QNode& node) {
  auto data = conv_data(graph_, node);
  const int input = value_of_[node.inputs[0]];
  data->params.taps = static_cast<std::int32_t>(node.sparse.taps());
  set_input_range(data->params, layout_[input]);
  const int output = make_value(node.output);
  if (node.precision == Precision::int8) {
    layout_[output].lowest = data->params.epilogue.lo, layout_[output].highest = data->params.epilogue.hi;
  }
  const std::shared_ptr<const void> params(data, &data->params);
  Pending& step = emit(node, typed("sparse_conv", layout_[input]), {input}, output, params);
  step.weights = node.weight;
  step.conv = data.get();
  step.step.kind = Step::Kind::kernel;
  step.step.rulebook = sparse_.rulebook[static_cast<std::size_t>(node.output)];
}

void Planner::lower_to_dense(const QNode& node, int input) {
  auto params = std::make_shared<ToDenseParams>();
  params->depth = static_cast<std::int32_t>(graph_.edges[static_cast<std::size_t>(node.inputs[0])].shape[1]);
  params->fill = layout_[input].fill;
  const int output = make_value(node.output);
  layout_[output].lowest = layout_[input].lowest, layout_[output].highest = layout_[input].highest;
  layout_[output].lowest = std::min(layout_[output].lowest, params->fill);
  layout_[output].highest = std::max(layout_[output].highest, params->fill);
  Pending& step = emit(node, typed("to_dense", layout_[input]), {input}, output, params);
  step.step.site_level = layout_[input].level;
}

}  // namespace octet::kernels
