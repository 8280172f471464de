// Lowering: which kernel computes each node, over which values. Memory is planner_memory.cpp.
#include "kernels/plan/planner.h"

#include <algorithm>

#include "runtime/error.h"
#include "runtime/float_environment.h"

namespace octet::kernels {
std::string typed(const char* op, const Value& v) {
  return fmt::format("{}_{}", op, v.type == DType::f32 ? "f32" : v.type == DType::s16 ? "s16" : "s8");
}

void set_input_range(ConvParams& params, const Value& input) {
  const std::int32_t lowest = std::min(input.lowest, input.fill), highest = std::max(input.highest, input.fill);
  params.non_negative = input.type != DType::f32 && lowest >= 0;
  params.seven_bits = params.non_negative && highest <= 127;
}

const QNode* not_for_cuda(const QGraph& graph) {
  const auto found = std::ranges::find_if(graph.nodes, [](const QNode& node) {
    return is_function(node.op) || node.op == Op::mul || node.op == Op::softmax || node.op == Op::conv_transpose2d ||
           node.op == Op::sparse_conv || node.op == Op::to_dense || node.op == Op::upsample || node.op == Op::pad ||
           node.op == Op::custom;
  });
  return found == graph.nodes.end() ? nullptr : &*found;
}

std::shared_ptr<const Program> plan(const QGraph& graph, const PlanOptions& options) {
  require(options.sites >= 0 && options.sites < (std::int64_t{1} << 31), "room for {} sites", options.sites);
  require(options.batch >= 1 && options.batch <= 4096, "a batch of {}: 1 to 4096 was expected", options.batch);
  graph.validate();
  require(!options.voxels || (options.gpu && graph.edges[graph.input].shape.rank() == 4),
          "{}: voxels are made by programs of sparse networks on CUDA; elsewhere kernels::Voxeliser makes them",
          graph.name);
  const FloatEnvironment environment;  // the constants of rules 2 to 11 are computed here
  return Planner(graph, options).run();
}

Value Planner::describe(EdgeId edge, int like) const {
  const QEdge& e = graph_.edges[edge];
  Value v;
  v.type = e.quantised ? e.quant.storage() : DType::f32;
  v.fill = e.quantised ? e.quant.zero : 0;
  if (e.quantised) v.lowest = e.quant.lo, v.highest = e.quant.hi;
  v.edge = edge;
  v.level = sparse_.level[static_cast<std::size_t>(edge)];
  if (like >= 0) {
    v.c = layout_[like].c, v.h = layout_[like].h, v.w = layout_[like].w;
  } else if (e.shape.rank() == 3) {
    v.c = static_cast<int>(e.shape[0]), v.h = static_cast<int>(e.shape[1]), v.w = static_cast<int>(e.shape[2]);
  } else {
    v.c = static_cast<int>(e.shape[0]);
  }
  return v;
}

int Planner::make_value(EdgeId edge, int like) { return value_of_[edge] = layout_.add(describe(edge, like)); }

Selection Planner::choose_for(const std::string& op, const std::vector<int>& inputs, const Value& output,
                              const void* params) const {
  std::vector<View> views;  // without data, for refuse()
  for (const int input : inputs) views.push_back(layout_.view_of(layout_[input]));
  const StepArgs args{views.data(), static_cast<std::int32_t>(views.size()), layout_.view_of(output), params, nullptr};
  return select(op, options_, args);
}

Pending& Planner::emit(const QNode& node, std::string op, std::vector<int> inputs, int output,
                       std::shared_ptr<const void> params) {
  Pending pending;
  pending.kernel = choose_for(op, inputs, layout_[output], params.get());
  pending.inputs = std::move(inputs);
  pending.output = output;
  Step& step = pending.step;
  step.name = node.name, step.op = node.op, step.precision = node.precision, step.macs = node.macs;
  step.params = std::move(params);
  step.completes = {{node.output, output}};
  if (layout_[output].level >= 0) step.kind = Step::Kind::rows;
  pending.kernel.put_into(step);
  steps_.push_back(std::move(pending));
  return steps_.back();
}

// `output` is the edge's value or a part of it.
Pending& Planner::emit_weighted(const QNode& node, std::string op, int input, int output,
                                std::shared_ptr<ConvData> data) {
  if (node.precision == Precision::int8) {
    Value& whole = layout_[value_of_[node.output] >= 0 ? value_of_[node.output] : output];
    whole.lowest = data->params.epilogue.lo, whole.highest = data->params.epilogue.hi;
  }
  Pending& step = emit(node, std::move(op), {input}, output, std::shared_ptr<const void>(data, &data->params));
  step.weights = node.weight;
  step.conv = data.get();
  return step;
}

void Planner::make_input() {
  if (graph_.edges[graph_.input].shape.rank() == 4) {
    require(!options_.photo, "{}: its input is sparse, not photos", graph_.name);
    return make_sparse_input();
  }
  const int input = make_value(graph_.input);
  Value& v = layout_[input];
  v.place = Place::network_input;
  if (options_.photo) {
    require(v.c == 3, "{}: photos have 3 channels, the network's input has {}", graph_.name, v.c);
    v.type = DType::u8;
  }
}

int Planner::real_input() {
  if (real_input_ >= 0) return real_input_;
  const int external = value_of_[graph_.input];
  const QEdge& edge = graph_.edges[graph_.input];
  const QNode node{.name = edge.name,
                   .op = Op::quantise,
                   .inputs = {graph_.input},
                   .output = graph_.input,
                   .precision = Precision::fp32};
  real_input_ = make_value(graph_.input);
  value_of_[graph_.input] = external;
  if (options_.photo) {
    auto data = lookup_data(graph_, edge, *options_.photo);
    emit(node, "lookup_f32", {external}, real_input_, std::shared_ptr<const void>(data, &data->params));
  } else {
    emit(node, "copy_f32", {external}, real_input_, nullptr);
  }
  return real_input_;
}

// The 2x2 max-pool right behind a convolution, when the convolution's kernel can take it in.
const QNode* Planner::pool_to_fuse(const QNode& conv, const char* op, int input, const ConvData& data) const {
  const std::vector<int> users = graph_.consumers(conv.output);
  if (options_.keep_edges || users.size() != 1) return nullptr;
  const QNode& next = graph_.nodes[static_cast<std::size_t>(users[0])];
  const bool fits = next.op == Op::max_pool && next.window == Window::square(2, 2) && !next.ceil_mode;
  const bool same =
      next.precision == conv.precision && graph_.edges[conv.output].quantised == (conv.precision == Precision::int8);
  if (!fits || !same || conv.output == graph_.output) return nullptr;
  const Selection choice = choose_for(typed(op, layout_[input]), {input}, describe(conv.output), &data.params);
  return choice.fuses_max_pool() ? &next : nullptr;
}

void Planner::lower_conv(const QNode& node) {
  auto data = conv_data(graph_, node);
  const int input = value_of_[node.inputs[0]] == value_of_[graph_.input] ? real_input() : value_of_[node.inputs[0]];
  const Shape& weight = node.weight.shape();
  const bool depthwise = node.groups > 1 && node.groups == layout_[input].c && weight[0] == node.groups;
  const char* op = depthwise ? "depthwise" : "conv2d";
  set_input_range(data->params, layout_[input]);
  const QNode* pool = pool_to_fuse(node, op, input, *data);
  data->params.fused_max_pool = pool != nullptr;
  const int output = make_value(pool != nullptr ? pool->output : node.output);
  Pending& step = emit_weighted(node, typed(op, layout_[input]), input, output, std::move(data));
  if (pool == nullptr) return;
  fused_.insert(pool->output);
  step.step.completes = {{pool->output, output}};
  step.step.note += fmt::format("{}with {}", step.step.note.empty() ? "" : "; ", pool->name);
}

void Planner::lower_linear(const QNode& node) {
  auto data = conv_data(graph_, node);
  const int input = value_of_[node.inputs[0]] == value_of_[graph_.input] ? real_input() : value_of_[node.inputs[0]];
  set_input_range(data->params, layout_[input]);
  const int output = make_value(node.output);
  Pending& step = emit_weighted(node, typed("linear", layout_[input]), input, output, std::move(data));
  const Value& in = layout_[input];
  step.weights = columns_to_nhwc(node.weight, in.c, in.h, in.w);
}

void Planner::copy_into(const std::string& name, EdgeId from_edge, int from, EdgeId to_edge, int to) {
  const QEdge& source = graph_.edges[from_edge];
  const QNode node{.name = name,
                   .op = Op::concat,
                   .inputs = {from_edge},
                   .output = to_edge,
                   .precision = source.quantised ? Precision::int8 : Precision::fp32};
  if (source.quantised) {
    emit(node, "add_s8", {from}, to, copy_params(source, graph_.edges[to_edge]));
  } else {
    emit(node, "copy_f32", {from}, to, nullptr);
  }
  steps_.back().step.completes.clear();
}

// Every input becomes a copy into its slice of the output; share_concats() removes the copies that are not needed.
void Planner::lower_concat(const QNode& node) {
  const int output = make_value(node.output);
  int offset = 0;
  std::int32_t lowest = 255, highest = -128;
  for (const EdgeId input : node.inputs) {
    const int from = value_of_[input] == value_of_[graph_.input] ? real_input() : value_of_[input];
    Value slice = layout_[output];
    slice.parent = output;
    slice.channel_offset = offset;
    slice.c = layout_[from].c;
    offset += slice.c;
    const QEdge &source = graph_.edges[input], &target = graph_.edges[node.output];
    const bool same = source.quant.step == target.quant.step && source.quant.zero == target.quant.zero;
    const bool from_zero_up = layout_[from].lowest >= source.quant.zero;  // another step keeps the sign
    const std::int32_t rescaled = from_zero_up ? target.quant.zero : target.quant.lo;
    lowest = std::min(lowest, same ? layout_[from].lowest : rescaled);
    highest = std::max(highest, same ? layout_[from].highest : target.quant.hi);
    copy_into(fmt::format("{}[{}]", node.name, graph_.edges[input].name), input, from, node.output, layout_.add(slice));
  }
  if (graph_.edges[node.output].quantised) layout_[output].lowest = lowest, layout_[output].highest = highest;
  steps_.back().step.completes = {{node.output, output}};
}

void Planner::lower_quantise(const QNode& node) {
  const EdgeId from = node.inputs[0];
  if (from == graph_.input && options_.photo) {
    auto data = lookup_data(graph_, graph_.edges[node.output], *options_.photo);
    const int output = make_value(node.output);
    layout_[output].lowest = data->lowest, layout_[output].highest = data->highest;
    emit(node, "lookup_s8", {value_of_[from]}, output, std::shared_ptr<const void>(data, &data->params));
    return;
  }
  const bool wide = graph_.edges[node.output].quant.wide();
  emit(node, wide ? "quantise_s16" : "quantise_s8", {value_of_[from]}, make_value(node.output, value_of_[from]),
       quantise_params(graph_, graph_.edges[node.output]));
}

void Planner::lower(const QNode& node) {
  const auto in = [&](std::size_t i) {
    const EdgeId edge = node.inputs[i];
    return edge == graph_.input ? real_input() : value_of_[edge];
  };
  switch (node.op) {
    case Op::conv2d:
      return lower_conv(node);
    case Op::conv_transpose2d:
      return lower_conv_transpose(node);
    case Op::linear:
      return lower_linear(node);
    case Op::concat:
      return lower_concat(node);
    case Op::quantise:
      return lower_quantise(node);
    case Op::flatten:
      // The same bytes; linear layers know the order. Whoever watches the edge sees it after the step before.
      value_of_[node.output] = in(0);
      if (!steps_.empty()) steps_.back().step.completes.push_back({node.output, value_of_[node.output]});
      return;
    case Op::dequantise:
      emit(node, "dequantise_f32", {in(0)}, make_value(node.output, in(0)),
           quantise_params(graph_, graph_.edges[node.inputs[0]]));
      return;
    case Op::batch_norm:
    case Op::relu:
    case Op::relu6: {
      auto data = affine_data(node);
      require(node.op != Op::batch_norm || node.weight.elements() == layout_[in(0)].c,
              "{}: a batch-norm right behind a flatten is not supported", node.name);
      emit(node, "affine_f32", {in(0)}, make_value(node.output, in(0)),
           std::shared_ptr<const void>(data, &data->params));
      return;
    }
    case Op::sigmoid:
    case Op::hard_sigmoid:
    case Op::hard_swish:
    case Op::leaky_relu:
    case Op::clip:
      return lower_function(node, in(0));
    case Op::sparse_conv:
      return lower_sparse_conv(node);
    case Op::to_dense:
      return lower_to_dense(node, in(0));
    case Op::upsample:
    case Op::pad:
      return lower_resample(node, in(0));
    case Op::softmax:
      return lower_softmax(node, in(0));
    case Op::custom: {
      std::vector<int> inputs;
      for (std::size_t i = 0; i < node.inputs.size(); ++i) inputs.push_back(in(i));
      return lower_custom(node, inputs);
    }
    case Op::mul:
      return lower_mul(node, in(0), in(1));
    case Op::max_pool:
    case Op::avg_pool:
    case Op::global_avg_pool: {
      auto data = pool_data(graph_, node, layout_[in(0)].h, layout_[in(0)].w);
      const char* op = node.op == Op::max_pool ? "max_pool" : "avg_pool";
      const int output = make_value(node.output);
      if (node.op == Op::max_pool) {
        layout_[output].lowest = layout_[in(0)].lowest, layout_[output].highest = layout_[in(0)].highest;
      } else if (node.precision == Precision::int8) {  // an average of what is not negative is not negative
        const PoolParams& p = data->params;
        const bool stays = p.zero_in == p.zero_out && layout_[in(0)].lowest >= p.zero_in;
        layout_[output].lowest = stays ? std::max(p.lo, p.zero_out) : p.lo, layout_[output].highest = p.hi;
      }
      emit(node, typed(op, layout_[in(0)]), {in(0)}, output, std::shared_ptr<const void>(data, &data->params));
      return;
    }
    case Op::add: {
      std::vector<int> inputs;
      for (std::size_t i = 0; i < node.inputs.size(); ++i) inputs.push_back(in(i));
      for (const int i : inputs) {
        require(layout_[i].h == layout_[inputs[0]].h && layout_[i].w == layout_[inputs[0]].w,
                "{}: adds a flattened activation and a plain one, which lie in different orders", node.name);
      }
      auto params = add_params(graph_, node);
      const int output = make_value(node.output, inputs[0]);
      if (node.precision == Precision::int8) {
        layout_[output].lowest = params->lo, layout_[output].highest = params->hi;
      }
      emit(node, typed("add", layout_[inputs[0]]), inputs, output, std::move(params));
      return;
    }
  }
}

// The output goes straight into the caller's NCHW tensor where the last kernel can write it so, else through a copy.
void Planner::make_output() {
  const EdgeId edge = graph_.output;
  require(!graph_.edges[edge].quantised, "{}: the output is quantised; a dequantise node was expected", graph_.name);
  const int made = value_of_[edge] == value_of_[graph_.input] ? real_input() : value_of_[edge];
  const bool contiguous = layout_[made].h * layout_[made].w == 1;
  const bool any_strides = steps_.back().kernel.op() == "dequantise_f32" || contiguous;
  const bool last_word = steps_.back().output == made && graph_.consumers(edge).empty();
  if (any_strides && last_word && layout_[made].parent < 0) {
    layout_[made].place = Place::network_output;
    return;
  }
  Value external = layout_[made];
  external.place = Place::network_output;
  external.parent = -1;
  const QNode node{
      .name = "output", .op = Op::dequantise, .inputs = {edge}, .output = edge, .precision = Precision::fp32};
  emit(node, "copy_f32", {made}, layout_.add(external), nullptr);
  steps_.back().step.completes.clear();
}

std::shared_ptr<const Program> Planner::run() {
  value_of_.assign(graph_.edges.size(), -1);
  make_input();
  for (const QNode& node : graph_.nodes) {
    if (!fused_.contains(node.output)) lower(node);
  }
  require(!steps_.empty(), "{}: the network computes nothing", graph_.name);
  make_output();

  share_concats();
  fuse_adds();
  share_adds();
  request_halos();
  align_residuals();
  insert_halo_fills();

  auto program = std::make_shared<Program>();
  program->graph = graph_;
  for (QNode& node : program->graph.nodes) node.weight = {}, node.bias = {};
  program->batch = options_.batch;
  program->sparse = sparse_.plan, program->sites = options_.sites, program->voxels = options_.voxels;
  if (program->voxels) check(*program->voxels);
  program->isa = name_of(options_.isa);
  if (options_.gpu) {
    program->device = "cuda", program->gpu = *options_.gpu;
    program->isa = fmt::format("sm_{}", options_.gpu->capability());
    program->constants = octet::cuda::make_constants();
  }
  finish(*program);
  return program;
}

}  // namespace octet::kernels
