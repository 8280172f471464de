#include "kernels/plan/selection.h"

#include "kernels/plan/params.h"
#include "runtime/error.h"

namespace octet::kernels {

void Selection::put_into(Step& step) const {
  step.note = note;
  if (gpu == nullptr) {
    step.variant = name_of(*cpu);
    step.run = cpu->run, step.tiles = cpu->tiles;
    return;
  }
  step.variant = cuda::name_of(*gpu);
  step.launch = gpu->launch, step.config = config;
}

std::size_t Selection::packed_bytes(const StepArgs& args) const {
  return gpu != nullptr ? gpu->packed_bytes(args, config) : cpu->packed_bytes(args);
}

void Selection::pack(const StepArgs& args, const void* weights, void* packed) const {
  gpu != nullptr ? gpu->pack(args, config, weights, packed) : cpu->pack(args, weights, packed);
}

std::size_t Selection::scratch_bytes(const StepArgs& args) const {
  if (gpu != nullptr) return gpu->workspace_bytes == nullptr ? 0 : gpu->workspace_bytes(args, device, config);
  return cpu->scratch_bytes == nullptr ? 0 : cpu->scratch_bytes(args);
}

Selection select(std::string_view op, const PlanOptions& options, const StepArgs& args) {
  Selection selection;
  if (options.gpu) {
    cuda::Choice choice = cuda::choose(op, *options.gpu, args);
    selection.gpu = choice.kernel, selection.config = choice.config, selection.device = *options.gpu;
    selection.note = std::move(choice.note);
  } else {
    Choice choice = choose(op, options.isa, args);
    selection.cpu = choice.kernel, selection.note = std::move(choice.note);
  }
  return selection;
}

namespace {

// The arrays that a params struct points to, as (address of the pointer, bytes).
template <class Params>
class Describer {
 public:
  explicit Describer(Step& step) : step_(step), params_(static_cast<const Params*>(step.params.get())) {
    step_.params_bytes = sizeof(Params);
  }
  const Params* operator->() const { return params_; }
  template <class T>
  void add(const T* const& pointer, std::size_t bytes) const {
    const auto field = reinterpret_cast<const std::byte*>(&pointer) - reinterpret_cast<const std::byte*>(params_);
    if (pointer != nullptr) step_.constants.push_back({static_cast<std::size_t>(field), pointer, bytes});
  }

 private:
  Step& step_;
  const Params* params_;
};

}  // namespace

void describe_constants(std::string_view op, Step& step, const StepArgs& args) {
  const auto channels = static_cast<std::size_t>(args.output.c);
  if (op.starts_with("conv2d") || op.starts_with("conv_transpose2d") || op.starts_with("depthwise") ||
      op.starts_with("linear") || op.starts_with("sparse_conv")) {
    const Describer<ConvParams> p(step);
    const std::size_t padded = padded_channels(args.output.c);
    p.add(p->weights, step.packed_bytes);
    p.add(p->epilogue.bias, padded * sizeof(std::int32_t));
    p.add(p->epilogue.multiplier, padded * sizeof(float));
    p.add(p->bias, padded * sizeof(float));
  } else if (op.starts_with("max_pool") || op.starts_with("avg_pool") || op.starts_with("resample")) {
    const Describer<PoolParams> p(step);
    p.add(p->multiplier, static_cast<std::size_t>(p->multiplier_count) * sizeof(float));
  } else if (op.starts_with("lookup")) {
    const Describer<LookupParams> p(step);
    p.add(p->table, channels * 256 * static_cast<std::size_t>(size_of(args.output.type)));
  } else if (op.starts_with("affine")) {
    const Describer<AffineParams> p(step);
    p.add(p->scale, channels * sizeof(float));
    p.add(p->shift, channels * sizeof(float));
  } else if (op.starts_with("add")) {
    const Describer<AddParams> p(step);
  } else if (op.starts_with("to_dense")) {
    const Describer<ToDenseParams> p(step);
  } else if (op.starts_with("quantise") || op.starts_with("dequantise")) {
    const Describer<QuantiseParams> p(step);
  } else if (op == "table_s8" || op == "function_f32") {
    const Describer<FunctionParams> p(step);
    p.add(p->table, 256);
  } else if (op == "softmax_f32") {
    const Describer<SoftmaxParams> p(step);
  } else {
    require(op == "copy_f32" || op == "mul_f32", "{}: its constants are unknown", op);
  }
}

}  // namespace octet::kernels
