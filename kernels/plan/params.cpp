#include "kernels/plan/params.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "runtime/arithmetic.h"
#include "runtime/error.h"
#include "runtime/functions.h"
#include "runtime/weight_scan.h"

namespace octet::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Limits {
  std::int32_t lo, hi;
};

// Rules 3 and 8: what a layer's output may hold after its activation.
Limits limits_of(const QNode& node, const QuantParams& out) {
  if (out.dead) return {out.zero, out.zero};  // rule 3
  Limits limits{out.lo, out.hi};
  if (node.activation != Activation::none) limits.lo = arithmetic::relu_lo(out);
  if (node.activation == Activation::relu6) limits.hi = arithmetic::relu6_hi(out);
  return limits;
}

void set_real_clamp(const QNode& node, float& lo, float& hi) {
  lo = node.activation == Activation::none ? -kInfinity : 0.0f;
  hi = node.activation == Activation::relu6 ? 6.0f : kInfinity;
}

void set_epilogue(const QGraph& graph, const QNode& node, ConvData& data) {
  const QEdge& in = graph.edges[node.inputs[0]];
  const QEdge& out = graph.edges[node.output];
  const std::int64_t channels = node.weight.shape()[0];
  const std::span<const std::int8_t> all = node.weight.span<std::int8_t>();
  const auto per_channel = static_cast<std::size_t>(node.weight.elements() / channels);
  data.bias.assign(padded_channels(channels), 0);
  data.multiplier.assign(padded_channels(channels), 0.0f);
  const double farthest = std::max(in.quant.hi - in.quant.zero, in.quant.zero - in.quant.lo);
  double largest = 0;  // |acc * multiplier|, by rule 5's bound on acc
  for (std::int64_t c = 0; c < channels; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const WeightSums w = sums_of(all.subspan(i * per_channel, per_channel));
    // Rule 4; may wrap mod 2^32, as the sums of products then do too (rule 5 bounds the total). A sparse convolution's
    // absent neighbours have no share of the zero point: its kernels subtract that of those which are there.
    const std::int64_t zeros = node.op == Op::sparse_conv ? 0 : in.quant.zero * w.plain;
    data.bias[i] = static_cast<std::int32_t>(node.bias_q[i] - zeros);
    data.multiplier[i] = !out.quantised ? arithmetic::real_multiplier(in.quant.step, node.weight_step[i])
                                        : arithmetic::multiplier(in.quant.step, node.weight_step[i], out.quant.step);
    const double bound = std::abs(static_cast<double>(node.bias_q[i])) + static_cast<double>(w.absolute) * farthest;
    largest = std::max(largest, bound * data.multiplier[i]);
  }
  Epilogue& e = data.params.epilogue;
  e.fits_int32 = largest < 2147483000.0;  // 2^31 less what two roundings to float32 can add
  e.bias = data.bias.data();
  e.multiplier = data.multiplier.data();
  if (!out.quantised) {
    require(node.activation == Activation::none, "{}: a real output with an activation is not supported", node.name);
    e.form = Epilogue::Form::real;
    return;
  }
  const Limits limits = limits_of(node, out.quant);
  e.lo = limits.lo, e.hi = limits.hi, e.zero = out.quant.zero;
  if (graph.requantisation == Requantisation::notebook) {
    e.form = Epilogue::Form::notebook;
    e.scale_out = out.notebook_scale;
    std::ranges::fill(data.multiplier, in.notebook_scale * node.notebook_weight_scale);
  }
}

}  // namespace

std::shared_ptr<ConvData> conv_data(const QGraph& graph, const QNode& node) {
  auto data = std::make_shared<ConvData>();
  data->params.window = node.window;
  data->params.groups = node.groups;
  if (node.precision == Precision::int8) {
    data->params.zero_in = graph.edges[node.inputs[0]].quant.zero;
    set_epilogue(graph, node, *data);
  } else {
    const std::int64_t channels = node.weight.shape()[0];
    data->bias_real = Tensor(DType::f32, Shape{static_cast<std::int64_t>(padded_channels(channels))});
    if (!node.bias.empty()) std::memcpy(data->bias_real.raw(), node.bias.raw(), node.bias.bytes());
    data->params.bias = data->bias_real.span<float>().data();
    set_real_clamp(node, data->params.lo, data->params.hi);
  }
  return data;
}

std::shared_ptr<PoolData> pool_data(const QGraph& graph, const QNode& node, int in_h, int in_w) {
  auto data = std::make_shared<PoolData>();
  PoolParams& p = data->params;
  p.window = node.window;
  p.count_include_pad = node.count_include_pad;
  if (node.op == Op::global_avg_pool) p.window = {.kernel_h = in_h, .kernel_w = in_w};
  if (node.precision != Precision::int8) return data;

  const QuantParams& in = graph.edges[node.inputs[0]].quant;
  const QuantParams& out = graph.edges[node.output].quant;
  const Limits limits = limits_of(node, out);
  p.zero_in = in.zero, p.zero_out = out.zero, p.lo = limits.lo, p.hi = limits.hi;
  if (node.op == Op::max_pool) return data;
  // No window holds more elements than the padded input.
  const Window& w = p.window;
  const std::int64_t tallest = std::min(w.kernel_h, in_h + (w.pad_top + w.pad_bottom) * p.count_include_pad);
  const std::int64_t widest = std::min(w.kernel_w, in_w + (w.pad_left + w.pad_right) * p.count_include_pad);
  require(tallest * widest <= 1 << 24, "{}: an average of {} x {} elements is too large", node.name, tallest, widest);
  for (std::int32_t count = 1; count <= tallest * widest; ++count) {
    data->multiplier.push_back(arithmetic::average_multiplier(in.step, out.step, count));
  }
  p.multiplier = data->multiplier.data();
  p.multiplier_count = static_cast<std::int32_t>(data->multiplier.size());
  return data;
}

std::shared_ptr<AddParams> add_params(const QGraph& graph, const QNode& node) {
  require(node.inputs.size() <= AddParams::kMaxInputs, "{}: an add of {} inputs: at most {} are supported", node.name,
          node.inputs.size(), AddParams::kMaxInputs);
  auto p = std::make_shared<AddParams>();
  set_real_clamp(node, p->clamp_lo, p->clamp_hi);
  if (node.precision != Precision::int8) return p;
  const QuantParams& out = graph.edges[node.output].quant;
  const Limits limits = limits_of(node, out);
  p->zero_out = out.zero, p->lo = limits.lo, p->hi = limits.hi;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const QuantParams& in = graph.edges[node.inputs[i]].quant;
    p->multiplier[i] = arithmetic::add_multiplier(in.step, out.step);
    p->zero_in[i] = in.zero;
  }
  return p;
}

std::shared_ptr<AddParams> copy_params(const QEdge& from, const QEdge& to) {
  auto p = std::make_shared<AddParams>();
  p->multiplier[0] = arithmetic::copy_multiplier(from.quant.step, to.quant.step);
  p->zero_in[0] = from.quant.zero;
  const Limits limits = limits_of({}, to.quant);
  p->zero_out = to.quant.zero, p->lo = limits.lo, p->hi = limits.hi;
  return p;
}

std::shared_ptr<AffineData> affine_data(const QNode& node) {
  auto data = std::make_shared<AffineData>();
  set_real_clamp(node, data->params.lo, data->params.hi);
  if (node.op == Op::batch_norm) {
    data->scale = node.weight, data->shift = node.bias;
    data->params.scale = data->scale.span<float>().data();
    data->params.shift = data->shift.span<float>().data();
  } else {  // a lone activation
    data->params.lo = 0.0f;
    data->params.hi = node.op == Op::relu6 ? 6.0f : kInfinity;
  }
  return data;
}

std::shared_ptr<QuantiseParams> quantise_params(const QGraph& graph, const QEdge& edge) {
  auto p = std::make_shared<QuantiseParams>();
  const QuantParams& q = edge.quant;
  p->step = q.step;
  p->inverse =
      graph.requantisation == Requantisation::notebook ? edge.notebook_scale : arithmetic::inverse_step(q.step);
  p->lo = q.lo, p->hi = q.hi, p->zero = q.zero, p->dead = q.dead;
  if (graph.requantisation == Requantisation::notebook) p->divisor = edge.notebook_scale;
  return p;
}

std::shared_ptr<LookupData> lookup_data(const QGraph& graph, const QEdge& edge, const PlanOptions::Photo& photo) {
  auto data = std::make_shared<LookupData>();
  const auto quantise = quantise_params(graph, edge);
  data->table = Tensor(edge.quantised ? DType::u8 : DType::f32, Shape{3, 256});
  for (std::size_t c = 0; c < 3; ++c) {
    for (int p = 0; p < 256; ++p) {
      const float value = (static_cast<float>(p) - photo.mean[c]) / photo.std[c];
      require(std::isfinite(value), "(p - {}) / {} is not a finite number", photo.mean[c], photo.std[c]);
      const std::size_t i = c * 256 + static_cast<std::size_t>(p);
      if (!edge.quantised) {
        data->table.span<float>()[i] = value;
        continue;
      }
      const std::int32_t q =
          quantise->dead ? quantise->zero
                         : arithmetic::quantise(value, quantise->inverse, quantise->lo, quantise->hi, quantise->zero);
      data->table.span<std::uint8_t>()[i] = static_cast<std::uint8_t>(q);
      data->lowest = std::min(data->lowest, q), data->highest = std::max(data->highest, q);
    }
  }
  data->params.table = data->table.raw();
  return data;
}

std::shared_ptr<FunctionData> function_data(const QNode& node) {
  auto data = std::make_shared<FunctionData>();
  data->params = {function_of(node.op), node.alpha, node.beta, nullptr};
  if (node.precision != Precision::int8) return data;
  data->table = node.table;
  data->params.table = data->table.span<std::uint8_t>().data();
  return data;
}

template <class T>
static Tensor columns_to_nhwc(const Tensor& weight, std::int64_t channels, std::int64_t pixels) {
  Tensor result(weight.dtype(), weight.shape());
  const T* row = weight.span<T>().data();
  T* to = result.span<T>().data();
  for (std::int64_t o = 0; o < weight.shape()[0]; ++o, row += channels * pixels) {
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (std::int64_t c = 0; c < channels; ++c) *to++ = row[c * pixels + pixel];
    }
  }
  return result;
}

Tensor columns_to_nhwc(const Tensor& weight, int c, int h, int w) {
  if (h * w == 1) return weight;
  return weight.dtype() == DType::s8 ? columns_to_nhwc<std::int8_t>(weight, c, std::int64_t{h} * w)
                                     : columns_to_nhwc<float>(weight, c, std::int64_t{h} * w);
}

}  // namespace octet::kernels
