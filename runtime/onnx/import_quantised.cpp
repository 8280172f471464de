// QuantizeLinear and DequantizeLinear, of activations and of constants.
#include <algorithm>
#include <cmath>

#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/onnx/importer.h"
#include "runtime/onnx/range_metadata.h"

namespace octet::onnx {
namespace {

std::int32_t value_at(const Tensor& tensor, std::size_t i) {
  switch (tensor.dtype()) {
    case DType::s8:
      return tensor.span<std::int8_t>()[i];
    case DType::u8:
      return tensor.span<std::uint8_t>()[i];
    case DType::s16:
      return tensor.span<std::int16_t>()[i];
    default:
      return tensor.span<std::int32_t>()[i];
  }
}

bool is_integer(DType type) {
  return type == DType::s8 || type == DType::u8 || type == DType::s16 || type == DType::s32;
}

// Calls visit(element, channel) for each element, the channel being its index along `axis`.
template <class Visit>
void each_with_channel(const Shape& shape, std::int64_t axis, std::size_t channels, Visit visit) {
  std::int64_t inner = 1;
  for (int d = static_cast<int>(axis) + 1; d < shape.rank(); ++d) inner *= shape[d];
  for (std::int64_t i = 0; i < shape.elements(); ++i) {
    const std::size_t channel = channels == 1 ? 0 : static_cast<std::size_t>(i / inner) % channels;
    visit(static_cast<std::size_t>(i), channel);
  }
}

}  // namespace

// Inputs 1 and 2 as vectors of one value, or one a channel. `values`: what they belong to.
Importer::IntegerConstant Importer::scales_of(const NodeProto& node, Attributes& attributes,
                                              const Shape& values) const {
  IntegerConstant result;
  const Tensor scale = constant(node, 1, "scale").to_f32();
  result.scale.assign(scale.span<float>().begin(), scale.span<float>().end());
  require(scale.shape().rank() <= 1 && !result.scale.empty(), "{}: a scale of {}; one number or a vector was expected",
          node.str(), scale.shape().str());
  for (const float s : result.scale) {
    require(std::isnormal(s) && s > 0, "{}: a scale of {}; a positive normal number was expected", node.str(), s);
  }
  result.zero.assign(result.scale.size(), 0);
  if (has_input(node, 2)) {
    const Tensor& zero = constant(node, 2, "zero point");
    require(is_integer(zero.dtype()) && zero.elements() == static_cast<std::int64_t>(result.scale.size()),
            "{}: a zero point of {} {} for {} scales", node.str(), name_of(zero.dtype()), zero.shape().str(),
            result.scale.size());
    for (std::size_t i = 0; i < result.zero.size(); ++i) result.zero[i] = value_at(zero, i);
  }
  const std::int64_t axis = attributes.integer("axis", 1);
  attributes.expect("block_size", 0);
  attributes.ignore("saturate");
  if (result.scale.size() == 1) return result;
  result.axis = axis_in(node, axis, static_cast<std::size_t>(values.rank()));
  require(values[static_cast<int>(result.axis)] == static_cast<std::int64_t>(result.scale.size()),
          "{}: {} scales along axis {} of {}", node.str(), result.scale.size(), result.axis, values.str());
  return result;
}

void Importer::quantize(const NodeProto& node) {
  inputs_between(node, 2, 3);
  Attributes attributes(node);
  attributes.expect("output_dtype", 0);
  const DType type = has_input(node, 2) ? constant(node, 2, "zero point").dtype() : DType::u8;
  const bool wide = type == DType::s16 && !is_constant(node.inputs[0]);  // the input of a sparse network of ours
  require(type == DType::s8 || type == DType::u8 || wide, "{}: to {}; s8 and u8 are supported", node.str(),
          name_of(type));
  const std::int32_t lo = wide ? INT16_MIN : type == DType::s8 ? -128 : 0, hi = wide ? INT16_MAX : lo + 255;
  if (is_constant(node.inputs[0])) {
    const Tensor from = constant(node, 0, "data").to_f32();
    const IntegerConstant by = scales_of(node, attributes, from.shape());
    attributes.finish();
    Tensor to(type, from.shape());
    each_with_channel(from.shape(), by.axis, by.scale.size(), [&](std::size_t i, std::size_t c) {
      const float scaled = std::nearbyint(from.span<float>()[i] / by.scale[c]) + static_cast<float>(by.zero[c]);
      require(!std::isnan(scaled), "{}: its constant holds NaN", node.str());
      const auto q = static_cast<std::int32_t>(std::clamp(scaled, static_cast<float>(lo), static_cast<float>(hi)));
      to.raw()[i] = static_cast<std::byte>(q);
    });
    return define_constant(node, to);
  }
  const Activation from = activation(node, 0);
  require(!from.integer, "{}: its input is integers already", node.str());
  const IntegerConstant by = scales_of(node, attributes, Shape(from.dims));
  attributes.finish();
  require(by.scale.size() == 1, "{}: an activation with a scale a channel; one scale is supported", node.str());
  QuantParams quant{.step = by.scale[0], .zero = by.zero[0], .lo = lo, .hi = hi};
  apply_range_metadata(model_, node.outputs[0], quant);
  require(!wide || (quant.wide() && quant.zero == 0 && from.edge == graph_.input_edge()),
          "{}: 16 bits are for the input of a sparse network, within +-{} (metadata octet.ranges)", node.str(),
          QuantParams::kWide);
  Node made{.name = layer_name(node), .op = Op::quantise, .inputs = {from.edge}, .quant = quant};
  activations_[node.outputs[0]] = {append(std::move(made)), from.dims, true};
}

// What the integers of an edge mean: what the QuantizeLinear says that they come from; pools, reshapes, borders and
// repeated pixels in between change nothing.
const QuantParams& Importer::quantised_as(EdgeId integers) const {
  for (EdgeId e = integers;;) {
    const Edge& edge = graph_.edges()[static_cast<std::size_t>(e)];
    const Node& producer = graph_.nodes()[static_cast<std::size_t>(edge.producer)];
    if (producer.quant) return *producer.quant;
    e = producer.inputs[0];
  }
}

void Importer::dequantize(const NodeProto& node) {
  inputs_between(node, 2, 3);
  Attributes attributes(node);
  if (is_constant(node.inputs[0])) {
    const Tensor& from = constant(node, 0, "data");
    require(is_integer(from.dtype()), "{}: of {}; s8, u8 and s32 are supported", node.str(), name_of(from.dtype()));
    IntegerConstant by = scales_of(node, attributes, from.shape());
    attributes.finish();
    Tensor to(DType::f32, from.shape());
    each_with_channel(from.shape(), by.axis, by.scale.size(), [&](std::size_t i, std::size_t c) {
      const auto distance = static_cast<float>(std::int64_t{value_at(from, i)} - by.zero[c]);
      to.span<float>()[i] = distance * by.scale[c];
    });
    by.values = from;
    integer_constants_[node.outputs[0]] = std::move(by);
    return define_constant(node, to);
  }
  const Activation from = activation(node, 0);
  require(from.integer, "{}: its input is not integers; a QuantizeLinear was expected before it", node.str());
  const IntegerConstant by = scales_of(node, attributes, Shape(from.dims));
  attributes.finish();
  const QuantParams& made_by = quantised_as(from.edge);
  const bool same = by.scale.size() == 1 && by.zero[0] == made_by.zero &&
                    (by.scale[0] == made_by.step || is_scale_of_sum(model_, by.scale[0], made_by.step));
  require(same, "{}: its scale and zero point are not those of the QuantizeLinear before it", node.str());
  Node made{.name = layer_name(node), .op = Op::dequantise, .inputs = {from.edge}};
  activations_[node.outputs[0]] = {append(std::move(made)), from.dims, false};
}

// The integers of a layer's inputs 1 (weight) and 2 (bias); null when the weight is not quantised. Weights are [out,
// in] or [in, out] matrices, or convolutions' [out, in, h, w]; `channel_axis` is where `out` is. The scales are
// multiplied by `factor` and `bias_factor` (Gemm's alpha and beta). `turned_groups`: the groups of a transposed
// convolution, whose [in, out / groups, h, w] is turned round (channels_turned); its scales serve every group.
std::shared_ptr<const IntegerWeights> Importer::integers_of_layer(const NodeProto& node, std::int64_t channel_axis,
                                                                  float factor, float bias_factor, int turned_groups) {
  const auto found = integer_constants_.find(node.inputs[1]);
  if (found == integer_constants_.end() || found->second.values.dtype() == DType::s32) return nullptr;
  const IntegerConstant& from = found->second;
  const Shape& shape = from.values.shape();
  const bool turned = turned_groups > 0;
  const std::int64_t channels = shape[static_cast<int>(channel_axis)] * std::max(turned_groups, 1);
  const bool per_tensor = from.scale.size() == 1;
  require(per_tensor || from.axis == channel_axis, "{}: weights with scales along axis {}; axis {} was expected",
          node.str(), from.axis, channel_axis);
  require(factor > 0 && bias_factor > 0, "{}: a factor of {} or {} with quantised weights", node.str(), factor,
          bias_factor);
  auto integers = std::make_shared<IntegerWeights>();
  for (std::int64_t c = 0; c < channels; ++c) {
    const auto at = static_cast<std::size_t>(c) % from.scale.size();
    integers->step.push_back(from.scale[at] * factor);
  }
  const bool swap = channel_axis == 1 && !turned;
  integers->weight = Tensor(DType::s8, swap ? Shape{shape[1], shape[0]} : shape);
  const auto to = integers->weight.span<std::int8_t>();
  std::int64_t lowest = 0, clipped = 0;
  bool fits = true;
  const std::int64_t rows = shape[0], columns = shape.elements() / rows;
  each_with_channel(shape, from.axis, from.scale.size(), [&](std::size_t i, std::size_t c) {
    std::int32_t w = value_at(from.values, i) - from.zero[c];
    fits &= w >= -128 && w <= 127;
    clipped += w == -128;
    w = std::clamp(w, -127, 127);
    const auto at = static_cast<std::int64_t>(i);
    to[swap ? static_cast<std::size_t>(at % columns * rows + at / columns) : i] = static_cast<std::int8_t>(w);
    lowest = std::min<std::int64_t>(lowest, w);
  });
  if (!fits) {
    notes_.push_back(
        fmt::format("{}: its weights reach beyond [-128, 127] around their zero point: float", node.str()));
    return nullptr;
  }
  if (turned) integers->weight = channels_turned(integers->weight, turned_groups);
  if (clipped > 0) notes_.push_back(fmt::format("{}: {} weights of -128 became -127", node.str(), clipped));
  const auto bias = has_input(node, 2) ? integer_constants_.find(node.inputs[2]) : integer_constants_.end();
  if (bias != integer_constants_.end() && bias->second.values.elements() == channels) {
    for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c) {
      const std::size_t k = bias->second.scale.size() == 1 ? 0 : c;
      const std::int64_t distance = std::int64_t{value_at(bias->second.values, c)} - bias->second.zero[k];
      require(distance >= INT32_MIN && distance <= INT32_MAX, "{}: a bias of {}", node.str(), distance);
      integers->bias.push_back(static_cast<std::int32_t>(distance));
      integers->bias_step.push_back(bias->second.scale[k] * bias_factor);
    }
  }
  return integers;
}

}  // namespace octet::onnx
