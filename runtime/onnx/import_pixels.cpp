// What moves whole pixels: Pad, Resize and its forerunner Upsample. A Pad is not a layer where the one behind it can
// have the border as padding of its own.
#include <algorithm>
#include <cmath>

#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/onnx/importer.h"

namespace octet::onnx {
namespace {

constexpr std::int64_t kMost = 32767;  // of a border and of a factor, as infer_shape() asks

// The input pixel that ONNX shows at output pixel i, by its formulas; -1 for one that is not known.
std::int64_t nearest_pixel(const std::string& transformation, const std::string& rounding, double i, double factor,
                           std::int64_t size) {
  double at = -1;
  if (transformation == "asymmetric") at = i / factor;
  if (transformation == "tf_half_pixel_for_nn") at = (i + 0.5) / factor;
  if (transformation == "half_pixel") at = (i + 0.5) / factor - 0.5;
  if (transformation == "pytorch_half_pixel")
    at = static_cast<double>(size) * factor > 1 ? (i + 0.5) / factor - 0.5 : 0;
  if (at == -1) return -1;
  if (rounding == "round_prefer_floor") at = std::ceil(at - 0.5);
  if (rounding == "round_prefer_ceil") at = std::floor(at + 0.5);
  if (rounding == "floor") at = std::floor(at);
  if (rounding == "ceil") at = std::ceil(at);
  return std::clamp(static_cast<std::int64_t>(at), std::int64_t{0}, size - 1);
}

}  // namespace

// The activation before a Pad whose border the caller adds to its own padding, and that border in `padding`. Otherwise
// the activation itself.
EdgeId Importer::edge_before_pad(const NodeProto& node, Window& padding) {
  const auto found = has_input(node, 0) ? activations_.find(node.inputs[0]) : activations_.end();
  if (found == activations_.end() || found->second.pad == nullptr) return edge(node, 0);
  padding = found->second.padding;
  return found->second.edge;
}

// A Pad that somebody else uses becomes a layer.
void Importer::make_pad(Activation& of) {
  const Node made{.name = layer_name(*of.pad), .op = Op::pad, .inputs = {of.edge}, .window = of.padding};
  of.edge = append(made);
  of.pad = nullptr, of.padding = {};
}

void Importer::pad(const NodeProto& node) {
  inputs_between(node, 1, 3);
  const Activation from = activation(node, 0);
  Attributes attributes(node);
  const std::string mode = attributes.text("mode", "constant");
  require(mode == "constant", "{}: mode '{}' is not supported, only 'constant'", node.str(), mode);
  float value = 0;
  std::vector<std::int64_t> pads;
  if (model_.opset() < 11) {
    pads = attributes.integers("pads", {}), value = attributes.real("value", 0);
  } else {
    pads = integers_of(node, constant(node, 1, "pads"));
    if (has_input(node, 2)) {
      const Tensor& given = constant(node, 2, "constant_value");
      require(given.elements() == 1, "{}: a value of shape {}; one number was expected", node.str(),
              given.shape().str());
      value = given.to_f32().span<float>()[0];
    }
  }
  attributes.finish();
  const auto zero = static_cast<float>(from.integer ? quantised_as(from.edge).zero : 0);
  require(value == zero, "{}: a border of {}; {} is supported, which means 0", node.str(), value, zero);
  require(from.dims.size() == 3 && pads.size() == 8,
          "{}: pads has {} values; 8 for an input of [N, channels, height, width] were expected", node.str(),
          pads.size());
  for (const std::int64_t p : pads) {
    require(p >= 0 && p <= kMost, "{}: pads holds {}; 0 to {} are supported", node.str(), p, kMost);
  }
  require(pads[0] == 0 && pads[1] == 0 && pads[4] == 0 && pads[5] == 0,
          "{}: pads the batch or the channels; height and width are supported", node.str());
  if (std::ranges::all_of(pads, [](std::int64_t p) { return p == 0; })) return alias(node);
  const auto small = [&](std::size_t i) { return static_cast<int>(pads[i]); };
  edge_of_either(node, 0);  // lies as [channels, height, width]
  Activation to = from;
  to.pad = &node;
  to.padding = {.pad_top = small(2), .pad_left = small(3), .pad_bottom = small(6), .pad_right = small(7)};
  to.dims = {from.dims[0], from.dims[1] + pads[2] + pads[6], from.dims[2] + pads[3] + pads[7]};
  if (to.integer) make_pad(to);
  activations_[node.outputs[0]] = std::move(to);
}

// By whole factors, every pixel repeated: what PyTorch's and TensorFlow's exporters write for nearest upsampling.
void Importer::resize(const NodeProto& node) {
  const bool first_form = node.op_type == "Upsample" || model_.opset() < 11;
  inputs_between(node, 1, 4);
  const EdgeId x = edge_of_either(node, 0);
  const Shape in = shape(x);
  require(in.rank() == 3, "{}: an input of [N, channels, height, width] was expected", node.str());
  Attributes attributes(node);
  const std::string mode = attributes.text("mode", "nearest");
  require(mode == "nearest", "{}: mode '{}' is not supported, only 'nearest'", node.str(), mode);
  const std::string transformation =
      attributes.text("coordinate_transformation_mode", first_form ? "asymmetric" : "half_pixel");
  const std::string rounding = attributes.text("nearest_mode", first_form ? "floor" : "round_prefer_floor");
  for (const char* unused : {"cubic_coeff_a", "exclude_outside", "extrapolation_value"}) attributes.ignore(unused);
  attributes.expect("antialias", 0);
  const std::string policy = attributes.text("keep_aspect_ratio_policy", "stretch");
  require(policy == "stretch", "{}: keep_aspect_ratio_policy '{}' is not supported", node.str(), policy);

  std::vector<double> factors;
  if (node.op_type == "Upsample" && model_.opset() < 9) {
    const Attribute* scales = node.find("scales");
    require(scales != nullptr && scales->kind == Attribute::Kind::reals, "{}: its scales are missing", node.str());
    factors.assign(scales->floats.begin(), scales->floats.end());
    attributes.ignore("scales");
  } else if (!first_form && has_input(node, 3)) {
    const std::vector<std::int64_t> sizes = integers_of(node, constant(node, 3, "sizes"));
    require(sizes.size() == 4, "{}: {} sizes, 4 were expected", node.str(), sizes.size());
    factors = {1, static_cast<double>(sizes[1]) / static_cast<double>(in[0])};
    for (int d = 1; d < 3; ++d) factors.push_back(static_cast<double>(sizes[d + 1]) / static_cast<double>(in[d]));
  } else {
    const Tensor scales = constant(node, first_form ? 1 : 2, "scales").to_f32();
    factors.assign(scales.span<float>().begin(), scales.span<float>().end());
  }
  attributes.finish();
  require(factors.size() == 4 && factors[0] == 1 && factors[1] == 1,
          "{}: four scales were expected, those of batch and channels 1", node.str());
  for (int d = 1; d < 3; ++d) {
    const double f = factors[static_cast<std::size_t>(d) + 1];
    require(f >= 1 && f <= static_cast<double>(kMost) && f == std::floor(f),
            "{}: a factor of {}; whole factors from 1 are supported", node.str(), f);
    for (double i = 0; i < 2 * f && i < f * static_cast<double>(in[d]); ++i) {
      require(nearest_pixel(transformation, rounding, i, f, in[d]) == static_cast<std::int64_t>(i / f),
              "{}: '{}' with '{}' shows other pixels than every one {} times, which is not supported", node.str(),
              transformation, rounding, f);
    }
  }
  const bool integer = activation(node, 0).integer;
  if (factors[2] == 1 && factors[3] == 1) return alias(node);
  Node made{.name = layer_name(node),
            .op = Op::upsample,
            .inputs = {x},
            .window = {.stride_h = static_cast<int>(factors[2]), .stride_w = static_cast<int>(factors[3])}};
  define(node, append(std::move(made)), integer);
}

}  // namespace octet::onnx
