// What moves no data: reshapes of all kinds, and the shapes that graphs compute for them. The batch size is not known
// while importing: kBatch stands for it.
#include <fmt/format.h>
#include <algorithm>
#include <numeric>

#include "runtime/error.h"
#include "runtime/onnx/importer.h"

namespace octet::onnx {
namespace {

Tensor vector_of(const std::vector<std::int64_t>& values) {
  return Tensor::of<std::int64_t>(Shape{static_cast<std::int64_t>(values.size())},
                                  std::span<const std::int64_t>(values));
}

// The dimensions above 1, in order: what a reshape that moves no data leaves alone.
std::vector<std::int64_t> essence(const std::vector<std::int64_t>& dims) {
  std::vector<std::int64_t> result;
  std::ranges::copy_if(dims, std::back_inserter(result), [](std::int64_t d) { return d != 1; });
  return result;
}

std::int64_t product(const std::vector<std::int64_t>& dims) {
  std::int64_t result = 1;
  for (const std::int64_t d : dims) {
    require(d > 0 && result <= Shape::kMaxElements / d, "a reshape to a dimension of {}", d);
    result *= d;
  }
  return result;
}

}  // namespace

void Importer::identity(const NodeProto& node) {
  inputs_between(node, 1, 3);
  for (std::size_t i = 1; i < node.outputs.size(); ++i) {
    require(!used_.contains(node.outputs[i]), "{}: its mask is used, which is not supported", node.str());
  }
  if (has_input(node, 2)) {  // Dropout's training_mode
    const Tensor& training = constant(node, 2, "training_mode");
    require(training.elements() == 1 && training.raw()[0] == std::byte{0}, "{}: training_mode is on", node.str());
  }
  alias(node);
}

void Importer::constant_node(const NodeProto& node) {
  require(node.attributes.size() == 1, "{}: one attribute was expected", node.str());
  const Attribute& a = node.attributes[0];
  switch (a.kind) {
    case Attribute::Kind::tensor:
      return define_constant(node, a.t);
    case Attribute::Kind::integer:
      return define_constant(node, Tensor::of<std::int64_t>(Shape{}, {&a.i, 1}));
    case Attribute::Kind::real:
      return define_constant(node, Tensor::of<float>(Shape{}, {&a.f, 1}));
    case Attribute::Kind::integers:
      return define_constant(node, vector_of(a.ints));
    case Attribute::Kind::reals:
      return define_constant(node, Tensor::of<float>(Shape{static_cast<std::int64_t>(a.floats.size())}, a.floats));
    default:
      fail("{}: a constant of this kind is not supported", node.str());
  }
}

// The activation seen with other dimensions: nothing to do when only axes of 1 come, go or move; a flatten when the
// result is one axis.
void Importer::rearrange(const NodeProto& node, const Activation& from, std::vector<std::int64_t> dims) {
  require(product(dims) == product(from.dims), "{}: reshapes [N, {}] to [N, {}]", node.str(),
          fmt::join(from.dims, ", "), fmt::join(dims, ", "));
  Activation to{from.edge, dims, from.integer};
  const Shape& actual = shape(from.edge);
  const std::vector<std::int64_t> actual_dims(actual.dims().begin(), actual.dims().end());
  if (dims.size() == 1 && actual.rank() == 3) {
    require(essence(from.dims) == essence(actual_dims), "{}: flattens an activation that was transposed", node.str());
    to.edge = append({.name = layer_name(node), .op = Op::flatten, .inputs = {from.edge}});
  } else {
    require(essence(dims) == essence(from.dims),
            "{}: reshapes [N, {}] to [N, {}]; only flattening is supported, and "
            "axes of 1 that come and go",
            node.str(), fmt::join(from.dims, ", "), fmt::join(dims, ", "));
  }
  activations_[node.outputs[0]] = std::move(to);
}

void Importer::flatten(const NodeProto& node) {
  inputs_between(node, 1, 1);
  const Activation from = activation(node, 0);
  Attributes attributes(node);
  const std::int64_t axis = axis_in(node, attributes.integer("axis", 1), from.dims.size() + 1);
  attributes.finish();
  require(axis == 1, "{}: from axis {}; from 1, which keeps the batch, is supported", node.str(), axis);
  if (from.dims.size() == 1) return alias(node);
  rearrange(node, from, {product(from.dims)});
}

void Importer::reshape(const NodeProto& node) {
  inputs_between(node, 2, 2);
  Attributes attributes(node);
  attributes.expect("allowzero", 0);
  attributes.finish();
  std::vector<std::int64_t> target = integers_of(node, constant(node, 1, "shape"));
  if (is_constant(node.inputs[0])) {
    const Tensor& value = constant(node, 0, "data");
    std::int64_t known = 1;
    for (const std::int64_t d : target) {
      require(d == -1 || (d > 0 && d <= Shape::kMaxElements / known), "{}: reshapes a constant to a dimension of {}",
              node.str(), d);
      known *= d == -1 ? 1 : d;
    }
    std::ranges::replace(target, std::int64_t{-1}, value.elements() / known);
    return define_constant(node, value.reshaped(Shape(target)));
  }
  const Activation from = activation(node, 0);
  require(target.size() >= 2 && target.size() <= 8, "{}: to {} dimensions; two to eight are supported", node.str(),
          target.size());
  // The batch is kept by 0 (copy), by -1 where every other dimension is given, by its own symbol, or as a fixed number.
  std::vector<std::int64_t> dims(target.begin() + 1, target.end());
  std::int64_t known = 1, unknown = -1;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == 0 && i < from.dims.size()) dims[i] = from.dims[i];
    if (dims[i] == -1) {
      require(unknown < 0 && target[0] != -1, "{}: two dimensions are left open", node.str());
      unknown = static_cast<std::int64_t>(i);
      continue;
    }
    require(dims[i] > 0 && dims[i] <= Shape::kMaxElements / known, "{}: a dimension of {}", node.str(), dims[i]);
    known *= dims[i];
  }
  const std::int64_t all = product(from.dims);
  if (unknown >= 0) dims[static_cast<std::size_t>(unknown)] = std::max<std::int64_t>(1, all / known);
  rearrange(node, from, std::move(dims));
}

// Axes as an attribute, or from operator set `since` on as input 1.
std::vector<std::int64_t> Importer::axes_of(const NodeProto& node, Attributes& attributes, int since) const {
  if (model_.opset() < since) return attributes.integers("axes", {});
  return has_input(node, 1) ? integers_of(node, constant(node, 1, "axes")) : std::vector<std::int64_t>{};
}

void Importer::squeeze(const NodeProto& node) {
  inputs_between(node, 1, 2);
  Attributes attributes(node);
  std::vector<std::int64_t> axes = axes_of(node, attributes, 13);
  attributes.finish();
  if (is_constant(node.inputs[0])) {
    const Tensor& value = constant(node, 0, "data");
    require(value.elements() == 1, "{}: of a constant of {}, which is not supported", node.str(), value.shape().str());
    return define_constant(node, value.reshaped(Shape{}));
  }
  const Activation from = activation(node, 0);
  for (std::int64_t& axis : axes) axis = axis_in(node, axis, from.dims.size() + 1);
  std::vector<std::int64_t> dims;
  for (std::size_t i = 0; i < from.dims.size(); ++i) {
    const bool named = std::ranges::find(axes, static_cast<std::int64_t>(i) + 1) != axes.end();
    require(!named || from.dims[i] == 1, "{}: an axis of {} cannot be squeezed", node.str(), from.dims[i]);
    if (!named && !(axes.empty() && from.dims[i] == 1)) dims.push_back(from.dims[i]);
  }
  require(std::ranges::find(axes, 0) == axes.end(), "{}: the batch cannot be squeezed", node.str());
  rearrange(node, from, std::move(dims));
}

void Importer::unsqueeze(const NodeProto& node) {
  inputs_between(node, 1, 2);
  Attributes attributes(node);
  std::vector<std::int64_t> axes = axes_of(node, attributes, 13);
  attributes.finish();
  if (is_constant(node.inputs[0])) {
    const Tensor& value = constant(node, 0, "data");
    require(value.elements() == 1 && axes.size() <= 4, "{}: of a constant of {}, which is not supported", node.str(),
            value.shape().str());
    return define_constant(node, value.reshaped(Shape(std::vector<std::int64_t>(axes.size(), 1))));
  }
  const Activation from = activation(node, 0);
  std::vector<std::int64_t> dims = from.dims;
  require(axes.size() <= 4, "{}: {} axes", node.str(), axes.size());
  for (std::int64_t& axis : axes) axis = axis_in(node, axis, from.dims.size() + 1 + axes.size());
  std::ranges::sort(axes);
  for (const std::int64_t axis : axes) {
    require(axis >= 1 && axis <= static_cast<std::int64_t>(dims.size()) + 1, "{}: axis {} is not supported", node.str(),
            axis);
    dims.insert(dims.begin() + (axis - 1), 1);
  }
  rearrange(node, from, std::move(dims));
}

void Importer::transpose(const NodeProto& node) {
  inputs_between(node, 1, 1);
  const Activation from = activation(node, 0);
  const std::size_t rank = from.dims.size() + 1;
  Attributes attributes(node);
  std::vector<std::int64_t> reverse(rank);
  std::iota(reverse.rbegin(), reverse.rend(), 0);
  const std::vector<std::int64_t> perm = attributes.integers("perm", reverse);
  attributes.finish();
  std::vector<std::int64_t> sorted = perm;
  std::ranges::sort(sorted);
  std::ranges::reverse(reverse);
  require(sorted == reverse && perm[0] == 0, "{}: perm is not a permutation that keeps the batch first", node.str());
  std::vector<std::int64_t> dims;
  for (std::size_t i = 1; i < rank; ++i) dims.push_back(from.dims[static_cast<std::size_t>(perm[i] - 1)]);
  const auto actual = shape(from.edge).dims();
  const bool channels_first_again = from.edge == graph_.input_edge() && std::ranges::equal(dims, actual);
  if (channels_first_again) {
    activations_[node.outputs[0]] = {from.edge, dims, from.integer};
    return;
  }
  rearrange(node, from, std::move(dims));
}

void Importer::shape_of(const NodeProto& node) {
  inputs_between(node, 1, 1);
  Attributes attributes(node);
  attributes.expect("start", 0);
  require(!attributes.has("end"), "{}: a part of a shape is not supported", node.str());
  attributes.finish();
  std::vector<std::int64_t> dims{kBatch};
  const Activation& from = activation(node, 0);
  dims.insert(dims.end(), from.dims.begin(), from.dims.end());
  define_constant(node, vector_of(dims));
}

// One dimension, or several, out of a shape.
void Importer::gather(const NodeProto& node) {
  inputs_between(node, 2, 2);
  Attributes attributes(node);
  attributes.expect("axis", 0);
  attributes.finish();
  const std::vector<std::int64_t> from = integers_of(node, constant(node, 0, "data"));
  const Tensor& which = constant(node, 1, "indices");
  std::vector<std::int64_t> values;
  for (const std::int64_t i : integers_of(node, which)) {
    values.push_back(from[static_cast<std::size_t>(axis_in(node, i, from.size()))]);
  }
  define_constant(node, Tensor::of<std::int64_t>(which.shape(), std::span<const std::int64_t>(values)));
}

void Importer::slice(const NodeProto& node) {
  inputs_between(node, 1, 5);
  Attributes attributes(node);
  const std::vector<std::int64_t> from = integers_of(node, constant(node, 0, "data"));
  const bool old = model_.opset() < 10;
  const auto list = [&](const char* name, std::size_t input, std::int64_t otherwise) {
    if (old) return attributes.integers(name, {otherwise});
    return has_input(node, input) ? integers_of(node, constant(node, input, name))
                                  : std::vector<std::int64_t>{otherwise};
  };
  const auto starts = list("starts", 1, 0), ends = list("ends", 2, 0), axes = list("axes", 3, 0),
             steps = list("steps", 4, 1);
  attributes.finish();
  require(starts.size() == 1 && ends.size() == 1 && axes == std::vector<std::int64_t>{0} &&
              steps == std::vector<std::int64_t>{1},
          "{}: only shapes are sliced, in one run", node.str());
  const auto size = static_cast<std::int64_t>(from.size());
  const auto place = [&](std::int64_t i) { return std::clamp<std::int64_t>(i < 0 ? i + size : i, 0, size); };
  const std::int64_t first = place(starts[0]), last = std::max(first, place(ends[0]));
  define_constant(node, vector_of({from.begin() + first, from.begin() + last}));
}

// Of shapes and other constants of integers; of activations to float, which they are already.
void Importer::cast(const NodeProto& node) {
  inputs_between(node, 1, 1);
  Attributes attributes(node);
  const std::int64_t to = attributes.integer("to", 0);
  attributes.ignore("saturate");
  attributes.finish();
  constexpr std::int64_t kFloat = 1, kInt32 = 6, kInt64 = 7, kHalf = 10;
  if ((to == kFloat || to == kHalf) && !is_constant(node.inputs[0]) && !activation(node, 0).integer) {
    if (to == kHalf) notes_.push_back(fmt::format("{}: half precision is computed in float32", node.str()));
    return alias(node);
  }
  const Tensor& value = constant(node, 0, "data");
  require(to == kInt32 || to == kInt64, "{}: to type {}; shapes of integers are cast to integers only", node.str(), to);
  const std::vector<std::int64_t> values = integers_of(node, value);
  define_constant(node, Tensor::of<std::int64_t>(value.shape(), std::span<const std::int64_t>(values)));
}

}  // namespace octet::onnx
