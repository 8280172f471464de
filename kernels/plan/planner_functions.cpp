// Lowering of element-wise functions, products, softmax and what moves pixels.
#include <algorithm>

#include "kernels/plan/planner.h"
#include "runtime/custom_op.h"
#include "runtime/error.h"

namespace octet::kernels {

void Planner::lower_function(const QNode& node, int input) {
  auto data = function_data(node);
  const bool integer = node.precision == Precision::int8;
  emit(node, integer ? "table_s8" : "function_f32", {input}, make_value(node.output, input),
       std::shared_ptr<const void>(data, &data->params));
}

void Planner::lower_resample(const QNode& node, int input) {
  const Value& from = layout_[input];
  auto params = std::make_shared<PoolParams>();
  params->window = node.window, params->zero_in = from.fill;
  const int output = make_value(node.output);
  layout_[output].lowest = std::min(layout_[input].lowest, layout_[input].fill);
  layout_[output].highest = std::max(layout_[input].highest, layout_[input].fill);
  const bool integer = node.precision == Precision::int8;
  emit(node, integer ? "resample_s8" : "resample_f32", {input}, output, params);
}

void Planner::lower_softmax(const QNode& node, int input) {
  auto params = std::make_shared<SoftmaxParams>();
  params->whole_image = graph_.edges[static_cast<std::size_t>(node.output)].shape.rank() == 1;
  emit(node, "softmax_f32", {input}, make_value(node.output, input), params);
}

void Planner::lower_mul(const QNode& node, int a, int b) {
  const Value &by = layout_[b], &of = layout_[a];
  const bool flat = graph_.edges[static_cast<std::size_t>(node.output)].shape.rank() == 1;
  require(!flat || (by.h == of.h && by.w == of.w),
          "{}: multiplies a flattened activation and a plain one, which lie in different orders", node.name);
  emit(node, "mul_f32", {a, b}, make_value(node.output, a), nullptr);
}

void Planner::lower_custom(const QNode& node, const std::vector<int>& inputs) {
  const auto edge = [&](EdgeId id) -> const QEdge& { return graph_.edges[static_cast<std::size_t>(id)]; };
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Value& v = layout_[inputs[i]];
    require(edge(node.inputs[i]).shape.rank() == 3 || v.h * v.w == 1,
            "{}: a custom operation behind a flatten of {}x{} pixels is not supported", node.name, v.h, v.w);
  }
  struct Data {
    CustomParams params;
    std::shared_ptr<const CustomOp> owner;
    CustomOp::Row row;
  };
  auto data = std::make_shared<Data>();
  data->owner = node.custom;
  if (node.precision == Precision::int8) {
    std::vector<QuantParams> quant;
    for (const EdgeId input : node.inputs) quant.push_back(edge(input).quant);
    data->row = node.custom->integer(quant, edge(node.output).quant);
  } else {
    data->row = node.custom->real();
  }
  require(data->row != nullptr, "{}: {} has no form in {}", node.name, node.custom->name(), name_of(node.precision));
  data->params.operation = &data->row;
  data->params.row = [](const void* row, const StepArgs& args, std::int64_t n, std::int64_t y) {
    const std::span views(args.inputs, static_cast<std::size_t>(args.input_count));
    (*static_cast<const CustomOp::Row*>(row))(views, args.output, n, y);
  };
  const int output = make_value(node.output);
  Pending& step =
      emit(node, typed("custom", layout_[output]), inputs, output, std::shared_ptr<const void>(data, &data->params));
  step.step.note = node.custom->name();
}

}  // namespace octet::kernels
