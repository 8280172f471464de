// Convolutions, linear layers, batch-norm and pools.
#include <algorithm>
#include <cmath>

#include "runtime/error.h"
#include "runtime/onnx/importer.h"

namespace octet::onnx {
namespace {

constexpr std::int64_t kMaxWindow = 32767;  // of every dimension of a window, as infer_shape() asks

int small(const NodeProto& node, const char* what, std::int64_t value) {
  require(value >= 0 && value <= kMaxWindow, "{}: {} of {}; 0 to {} are supported", node.str(), what, value,
          kMaxWindow);
  return static_cast<int>(value);
}

std::vector<int> two(const NodeProto& node, Attributes& attributes, const char* name, std::int64_t otherwise) {
  const std::vector<std::int64_t> values = attributes.integers(name, {otherwise, otherwise});
  require(values.size() == 2, "{}: {} has {} values; networks of two spatial dimensions are supported", node.str(),
          name, values.size());
  return {small(node, name, values[0]), small(node, name, values[1])};
}

// What a convolution's window and a transposed one's have in common, before there is any padding.
Window unpadded_window(const NodeProto& node, Attributes& attributes, const Shape& in, int kernel_h, int kernel_w) {
  require(in.rank() == 3 && in[1] <= (1 << 24) && in[2] <= (1 << 24),
          "{}: an input of [N, channels, height, width] was expected", node.str());
  const std::vector<int> stride = two(node, attributes, "strides", 1), dilation = two(node, attributes, "dilations", 1);
  return {.kernel_h = kernel_h,
          .kernel_w = kernel_w,
          .stride_h = stride[0],
          .stride_w = stride[1],
          .dilation_h = dilation[0],
          .dilation_w = dilation[1]};
}

// SAME: as much padding as makes the output ceil(input / stride); the odd one goes to the end for SAME_UPPER.
void pad_same(int in, int kernel, int stride, int dilation, bool upper, int& before, int& after) {
  require(stride > 0, "a stride of 0");
  const int out = (in + stride - 1) / stride;
  const int total = std::max(0, (out - 1) * stride + (kernel - 1) * dilation + 1 - in);
  before = upper ? total / 2 : total - total / 2;
  after = total - before;
}

bool same_padding(const NodeProto& node) {
  const Attribute* automatic = node.find("auto_pad");
  return automatic != nullptr && automatic->s.starts_with("SAME");
}

void add_padding(Window& to, const Window& more) {
  to.pad_top += more.pad_top, to.pad_left += more.pad_left;
  to.pad_bottom += more.pad_bottom, to.pad_right += more.pad_right;
}

}  // namespace

Tensor finite(const NodeProto& node, const Tensor& tensor, const char* what) {
  const Tensor real = tensor.to_f32();
  for (const float v : real.span<float>()) {
    require(std::isfinite(v), "{}: its {} holds {}, finite numbers were expected", node.str(), what, v);
  }
  return real;
}

Window Importer::window_of(const NodeProto& node, Attributes& attributes, const Shape& in, int kernel_h,
                           int kernel_w) const {
  Window w = unpadded_window(node, attributes, in, kernel_h, kernel_w);
  const std::string automatic = attributes.text("auto_pad", "NOTSET");
  const std::vector<std::int64_t> pads = attributes.integers("pads", {0, 0, 0, 0});
  require(pads.size() == 4, "{}: pads has {} values, 4 were expected", node.str(), pads.size());
  if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
    const bool upper = automatic == "SAME_UPPER";
    const int height = static_cast<int>(in[1]), width = static_cast<int>(in[2]);
    pad_same(height, kernel_h, w.stride_h, w.dilation_h, upper, w.pad_top, w.pad_bottom);
    pad_same(width, kernel_w, w.stride_w, w.dilation_w, upper, w.pad_left, w.pad_right);
    return w;
  }
  require(automatic == "NOTSET" || automatic == "VALID", "{}: auto_pad '{}' is not known", node.str(), automatic);
  if (automatic == "VALID") return w;
  w.pad_top = small(node, "pads", pads[0]), w.pad_left = small(node, "pads", pads[1]);
  w.pad_bottom = small(node, "pads", pads[2]), w.pad_right = small(node, "pads", pads[3]);
  return w;
}

void Importer::conv(const NodeProto& node) {
  inputs_between(node, 2, 3);
  Window padding;
  const EdgeId x = same_padding(node) ? edge(node, 0) : edge_before_pad(node, padding);
  const Tensor weight = finite(node, constant(node, 1, "weight"), "weight");
  require(weight.shape().rank() == 4, "{}: a weight of {}; [out, in / group, height, width] was expected", node.str(),
          weight.shape().str());
  Attributes attributes(node);
  const auto kernel = attributes.integers("kernel_shape", {weight.shape()[2], weight.shape()[3]});
  require(kernel == std::vector<std::int64_t>{weight.shape()[2], weight.shape()[3]},
          "{}: kernel_shape does not fit a weight of {}", node.str(), weight.shape().str());
  Node made{.name = layer_name(node, node.inputs[1]), .op = Op::conv2d, .inputs = {x}};
  const std::int64_t groups = attributes.integer("group", 1);
  require(groups >= 1 && groups <= 1 << 24, "{}: {} groups", node.str(), groups);
  made.groups = static_cast<int>(groups);
  made.window = window_of(node, attributes, shape(x), small(node, "kernel_shape", kernel[0]),
                          small(node, "kernel_shape", kernel[1]));
  add_padding(made.window, padding);
  attributes.finish();
  made.parameters.push_back({"weight", weight.shape(), weight});
  if (has_input(node, 2)) {
    const Tensor bias = finite(node, constant(node, 2, "bias"), "bias");
    require(bias.shape() == Shape{weight.shape()[0]}, "{}: a bias of {} for a weight of {}", node.str(),
            bias.shape().str(), weight.shape().str());
    made.parameters.push_back({"bias", bias.shape(), bias});
  }
  made.integers = integers_of_layer(node, 0, 1, 1);
  define(node, append(std::move(made)));
}

// Padding from an output's size: what is too much of it is cut off, the odd row or column at the end for SAME_UPPER.
Window Importer::transposed_window_of(const NodeProto& node, Attributes& attributes, const Shape& in,
                                      const Shape& weight) const {
  const int kernel_h = small(node, "kernel_shape", weight[2]), kernel_w = small(node, "kernel_shape", weight[3]);
  Window w = unpadded_window(node, attributes, in, kernel_h, kernel_w);
  const std::vector<int> added = two(node, attributes, "output_padding", 0);
  const std::string automatic = attributes.text("auto_pad", "NOTSET");
  const bool same = automatic.starts_with("SAME_");
  require(same || automatic == "NOTSET" || automatic == "VALID", "{}: auto_pad '{}' is not known", node.str(),
          automatic);
  const std::vector<std::int64_t> pads = attributes.integers("pads", {0, 0, 0, 0});
  require(pads.size() == 4, "{}: pads has {} values, 4 were expected", node.str(), pads.size());
  const std::vector<std::int64_t> sizes = attributes.integers("output_shape", {});
  require(sizes.empty() || sizes.size() == 2, "{}: output_shape has {} values, 2 were expected", node.str(),
          sizes.size());
  const auto set = [&](int axis, int span, int& before, int& after) {
    const auto d = static_cast<std::size_t>(axis);
    const int stride = axis == 0 ? w.stride_h : w.stride_w;
    if (sizes.empty() && !same) {
      const bool given = automatic == "NOTSET";
      before = given ? small(node, "pads", pads[d]) : 0;
      after = (given ? small(node, "pads", pads[d + 2]) : 0) - added[d];
      return;
    }
    const std::int64_t wanted = sizes.empty() ? in[axis + 1] * stride : sizes[d];
    const std::int64_t total = (in[axis + 1] - 1) * stride + span + added[d] - wanted;
    require(total >= 0 && total <= 2 * kMaxWindow, "{}: an output of {} from an input of {} is not supported",
            node.str(), wanted, in.str());
    const auto half = static_cast<int>(total / 2), rest = static_cast<int>(total) - half;
    before = automatic == "SAME_UPPER" ? half : rest;
    after = static_cast<int>(total) - before - added[d];
  };
  require(w.stride_h > 0 && w.stride_w > 0, "{}: a stride of 0", node.str());
  set(0, w.span_h(), w.pad_top, w.pad_bottom);
  set(1, w.span_w(), w.pad_left, w.pad_right);
  return w;
}

// Its weight [in, out / groups, height, width] is turned round, so that output channels come first as everywhere else.
void Importer::conv_transpose(const NodeProto& node) {
  inputs_between(node, 2, 3);
  const EdgeId x = edge(node, 0);
  const Tensor weight = finite(node, constant(node, 1, "weight"), "weight");
  require(weight.shape().rank() == 4, "{}: a weight of {}; [in, out / group, height, width] was expected", node.str(),
          weight.shape().str());
  Attributes attributes(node);
  const std::int64_t groups = attributes.integer("group", 1);
  require(groups >= 1 && groups <= 1 << 24 && weight.shape()[0] % groups == 0, "{}: {} groups for a weight of {}",
          node.str(), groups, weight.shape().str());
  const std::vector<std::int64_t> size{weight.shape()[2], weight.shape()[3]};
  require(attributes.integers("kernel_shape", size) == size, "{}: kernel_shape does not fit a weight of {}", node.str(),
          weight.shape().str());
  Node made{.name = layer_name(node, node.inputs[1]), .op = Op::conv_transpose2d, .inputs = {x}};
  made.groups = static_cast<int>(groups);
  made.window = transposed_window_of(node, attributes, shape(x), weight.shape());
  attributes.finish();
  const Tensor turned = channels_turned(weight, made.groups);
  made.parameters.push_back({"weight", turned.shape(), turned});
  if (has_input(node, 2)) {
    const Tensor bias = finite(node, constant(node, 2, "bias"), "bias");
    require(bias.shape() == Shape{turned.shape()[0]}, "{}: a bias of {} for a weight of {}", node.str(),
            bias.shape().str(), weight.shape().str());
    made.parameters.push_back({"bias", bias.shape(), bias});
  }
  made.integers = integers_of_layer(node, 1, 1, 1, made.groups);
  define(node, append(std::move(made)));
}

// weight: [out, in], bias: [out] or none.
void Importer::linear(const NodeProto& node, const Tensor& weight, const Tensor* bias,
                      std::shared_ptr<const IntegerWeights> integers) {
  Node made{.name = layer_name(node, node.inputs[1]), .op = Op::linear, .inputs = {edge(node, 0)}};
  made.parameters.push_back({"weight", weight.shape(), weight});
  if (bias != nullptr) made.parameters.push_back({"bias", bias->shape(), *bias});
  made.integers = std::move(integers);
  define(node, append(std::move(made)));
}

namespace {

Tensor transposed(const Tensor& matrix) {
  const std::int64_t rows = matrix.shape()[0], columns = matrix.shape()[1];
  Tensor result(DType::f32, Shape{columns, rows});
  const auto from = matrix.span<float>();
  const auto to = result.span<float>();
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      to[static_cast<std::size_t>(c * rows + r)] = from[static_cast<std::size_t>(r * columns + c)];
    }
  }
  return result;
}

void multiply(Tensor& tensor, float factor) {
  if (factor == 1.0f) return;
  tensor = tensor.clone();
  for (float& v : tensor.span<float>()) v *= factor;
}

}  // namespace

void Importer::gemm(const NodeProto& node) {
  inputs_between(node, 2, 3);
  Attributes attributes(node);
  attributes.expect("transA", 0);
  const bool rows_are_outputs = attributes.integer("transB", 0) != 0;
  const float alpha = attributes.real("alpha", 1.0f), beta = attributes.real("beta", 1.0f);
  attributes.finish();
  Tensor weight = finite(node, constant(node, 1, "weight"), "weight");
  require(weight.shape().rank() == 2, "{}: a weight of {}; a matrix was expected", node.str(), weight.shape().str());
  if (!rows_are_outputs) weight = transposed(weight);
  multiply(weight, alpha);
  const auto integers = integers_of_layer(node, rows_are_outputs ? 0 : 1, alpha, beta);
  if (!has_input(node, 2)) return linear(node, weight, nullptr, integers);
  const Tensor given = finite(node, constant(node, 2, "bias"), "bias");
  const std::int64_t outputs = weight.shape()[0];
  require(given.elements() == outputs || given.elements() == 1, "{}: a bias of {} for {} outputs", node.str(),
          given.shape().str(), outputs);
  Tensor bias(DType::f32, Shape{outputs});
  for (std::size_t i = 0; i < static_cast<std::size_t>(outputs); ++i) {
    bias.span<float>()[i] = given.span<float>()[given.elements() == 1 ? 0 : i];
  }
  multiply(bias, beta);
  linear(node, weight, &bias, integers);
}

void Importer::matmul(const NodeProto& node) {
  inputs_between(node, 2, 2);
  Attributes(node).finish();
  const Tensor weight = finite(node, constant(node, 1, "weight"), "weight");
  require(weight.shape().rank() == 2, "{}: a weight of {}; a matrix was expected", node.str(), weight.shape().str());
  linear(node, transposed(weight), nullptr, integers_of_layer(node, 1, 1, 1));
}

void Importer::batch_norm(const NodeProto& node) {
  inputs_between(node, 5, 5);
  Attributes attributes(node);
  const float eps = attributes.real("epsilon", 1e-5f);
  require(eps >= 0 && std::isfinite(eps), "{}: an epsilon of {}", node.str(), eps);
  attributes.expect("training_mode", 0);
  attributes.expect("spatial", 1);
  attributes.ignore("momentum");
  attributes.finish();
  const EdgeId x = edge(node, 0);
  Node made{.name = layer_name(node, node.inputs[1]), .op = Op::batch_norm, .inputs = {x}, .eps = eps};
  const char* const keys[] = {"weight", "bias", "running_mean", "running_var"};
  for (std::size_t i = 0; i < 4; ++i) {
    const Tensor value = finite(node, constant(node, i + 1, keys[i]), keys[i]);
    require(value.shape() == Shape{shape(x)[0]}, "{}: its {} has the shape {} for {} channels", node.str(), keys[i],
            value.shape().str(), shape(x)[0]);
    const bool variance = i == 3;
    for (const float v : value.span<float>()) {
      require(!variance || v >= 0, "{}: a variance of {}", node.str(), v);
    }
    made.parameters.push_back({keys[i], value.shape(), value});
  }
  define(node, append(std::move(made)));
}

// Whether a pool can have the border of the Pad before it as its own padding: an average counts it, so all of its
// padding must be counted; a maximum leaves it out, so no input may lie below the border's zeros. Padding stays smaller
// than the window.
bool Importer::takes_pad(const NodeProto& node) const {
  const auto found = has_input(node, 0) ? activations_.find(node.inputs[0]) : activations_.end();
  if (found == activations_.end() || found->second.pad == nullptr || same_padding(node)) return false;
  const auto value = [&](const char* name) {
    const Attribute* a = node.find(name);
    return a == nullptr ? 0 : a->i;
  };
  const Attribute *pads = node.find("pads"), *kernel = node.find("kernel_shape");
  const bool padded = pads != nullptr && std::ranges::any_of(pads->ints, [](std::int64_t p) { return p != 0; });
  const Window& more = found->second.padding;
  const auto fits = [](std::int64_t size, int before, int after) { return before < size && after < size; };
  if (padded || kernel == nullptr || kernel->ints.size() != 2 || node.find("dilations") != nullptr ||
      !fits(kernel->ints[0], more.pad_top, more.pad_bottom) || !fits(kernel->ints[1], more.pad_left, more.pad_right)) {
    return false;
  }
  if (node.op_type == "AveragePool") return value("ceil_mode") == 0;
  const Edge& edge = graph_.edges()[static_cast<std::size_t>(found->second.edge)];
  if (edge.producer < 0) return false;
  const Node& producer = graph_.nodes()[static_cast<std::size_t>(edge.producer)];
  return producer.op == Op::relu || producer.op == Op::relu6 || (producer.op == Op::clip && producer.alpha >= 0);
}

void Importer::pool(const NodeProto& node) {
  inputs_between(node, 1, 1);
  const bool average = node.op_type == "AveragePool";
  Window padding;
  const EdgeId x = takes_pad(node) ? edge_before_pad(node, padding) : average ? edge(node, 0) : edge_of_either(node, 0);
  Attributes attributes(node);
  const auto kernel = attributes.integers("kernel_shape", {});
  require(kernel.size() == 2, "{}: kernel_shape has {} values; two were expected", node.str(), kernel.size());
  Node made{.name = layer_name(node), .op = average ? Op::avg_pool : Op::max_pool, .inputs = {x}};
  made.window = window_of(node, attributes, shape(x), small(node, "kernel_shape", kernel[0]),
                          small(node, "kernel_shape", kernel[1]));
  add_padding(made.window, padding);
  made.ceil_mode = attributes.integer("ceil_mode", 0) != 0;
  if (average) made.count_include_pad = attributes.integer("count_include_pad", 0) != 0 || padding != Window{};
  if (!average) attributes.expect("storage_order", 0);
  attributes.finish();
  const bool integer = padding == Window{} && activation(node, 0).integer;
  define(node, append(std::move(made)), integer);
}

void Importer::global_pool(const NodeProto& node) {
  inputs_between(node, 1, 1);
  Attributes(node).finish();
  const EdgeId x = edge(node, 0);
  const Shape& in = shape(x);
  require(in.rank() == 3, "{}: an input of [N, channels, height, width] was expected", node.str());
  Node made{.name = layer_name(node), .op = Op::global_avg_pool, .inputs = {x}};
  if (node.op_type == "GlobalMaxPool") {
    made.op = Op::max_pool;
    made.window = {.kernel_h = small(node, "height", in[1]), .kernel_w = small(node, "width", in[2])};
  }
  define(node, append(std::move(made)));
}

// Over height and width: a global average pool.
void Importer::reduce_mean(const NodeProto& node) {
  inputs_between(node, 1, 2);
  const EdgeId x = edge(node, 0);
  Attributes attributes(node);
  std::vector<std::int64_t> axes = axes_of(node, attributes, 18);
  const bool keep = attributes.integer("keepdims", 1) != 0;
  attributes.expect("noop_with_empty_axes", 0);
  attributes.finish();
  for (std::int64_t& axis : axes) axis = axis_in(node, axis, 4);
  std::ranges::sort(axes);
  require(shape(x).rank() == 3 && axes == std::vector<std::int64_t>{2, 3},
          "{}: a mean over height and width (axes 2 and 3) was expected", node.str());
  const std::string name = layer_name(node);
  const EdgeId mean = append({.name = name, .op = Op::global_avg_pool, .inputs = {x}});
  if (keep) return define(node, mean);
  define(node, append({.name = name + ".flatten", .op = Op::flatten, .inputs = {mean}}));
}

}  // namespace octet::onnx
