// Building a Graph and inferring its shapes. Loading weights into it is graph_weights.cpp.
#include "runtime/graph.h"

#include <algorithm>

#include "runtime/custom_op.h"
#include "runtime/error.h"

namespace octet {
namespace {

constexpr const char* kOpNames[] = {
    "conv2d",      "conv_transpose2d", "linear",     "batch_norm", "relu",      "relu6",    "max_pool",
    "avg_pool",    "global_avg_pool",  "flatten",    "add",        "concat",    "upsample", "pad",
    "sigmoid",     "hard_sigmoid",     "hard_swish", "leaky_relu", "clip",      "mul",      "softmax",
    "sparse_conv", "to_dense",         "custom",     "quantise",   "dequantise"};

// Whether every window that starts in the leading padding reaches an element: with dilation it may step over a small
// input. Padding is smaller than the window here, so some tap is >= 0; the first such one is below `dilation`.
bool touches_input(std::int64_t input, std::int64_t stride, std::int64_t pad, std::int64_t dilation) {
  if (input >= dilation) return true;
  for (std::int64_t start = -pad; start < 0; start += stride) {
    if ((start % dilation + dilation) % dilation >= input) return false;
  }
  return true;
}

bool is_sparse(const Shape& shape) { return shape.rank() == 4; }

Shape chw(std::int64_t c, std::int64_t h, std::int64_t w) { return Shape{c, h, w}; }

void check_window(const Node& node, const Shape& in) {
  require(in.rank() == 3, "{}: {} needs a [channels, height, width] input, got {}", node.name, name_of(node.op),
          in.str());
  const Window& w = node.window;
  for (const int value : {w.kernel_h, w.kernel_w, w.stride_h, w.stride_w, w.pad_top, w.pad_left, w.pad_bottom,
                          w.pad_right, w.dilation_h, w.dilation_w}) {
    require(value <= 32767, "{}: a window with the dimension {}: at most 32767 is supported", node.name, value);
  }
  require(in[1] <= (1 << 24) && in[2] <= (1 << 24), "{}: an input of {} is too large", node.name, in.str());
  const bool transposed = node.op == Op::conv_transpose2d;
  require(w.kernel_h > 0 && w.kernel_w > 0 && w.stride_h > 0 && w.stride_w > 0 && w.dilation_h > 0 &&
              w.dilation_w > 0 && w.pad_top >= 0 && w.pad_left >= 0 && (transposed || w.pad_bottom >= 0) &&
              (transposed || w.pad_right >= 0),
          "{}: kernel, stride and dilation must be positive and padding not negative", node.name);
}

// The shape of a sliding window's output over `in`, with `channels` channels.
Shape slide(const Node& node, const Shape& in, std::int64_t channels) {
  check_window(node, in);
  const Window& w = node.window;
  const int h = window_output(static_cast<int>(in[1]), w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom, w.dilation_h,
                              node.ceil_mode);
  const int v = window_output(static_cast<int>(in[2]), w.kernel_w, w.stride_w, w.pad_left, w.pad_right, w.dilation_w,
                              node.ceil_mode);
  require(h > 0 && v > 0, "{}: a window of {}x{} does not fit into an input of {}", node.name, w.span_h(), w.span_w(),
          in.str());
  return chw(channels, h, v);
}

// The shape of a transposed convolution's output, with `channels` channels.
Shape spread(const Node& node, const Shape& in, std::int64_t channels) {
  check_window(node, in);
  const Window& w = node.window;
  // PyTorch's rule for an output padding: rows beyond it would be no window's.
  require(w.pad_bottom > -std::max(w.stride_h, w.dilation_h) && w.pad_right > -std::max(w.stride_w, w.dilation_w),
          "{}: an output padding of {}x{} is not smaller than the stride or the dilation", node.name, -w.pad_bottom,
          -w.pad_right);
  const std::int64_t h = (in[1] - 1) * w.stride_h - w.pad_top - w.pad_bottom + w.span_h();
  const std::int64_t v = (in[2] - 1) * w.stride_w - w.pad_left - w.pad_right + w.span_w();
  require(h > 0 && v > 0 && h <= (1 << 24) && v <= (1 << 24), "{}: an output of {}x{} from an input of {}", node.name,
          h, v, in.str());
  return chw(channels, h, v);
}

// What an upsampling or a border makes of `in`; the window holds nothing but the factors, or the border.
Shape resample(const Node& node, const Shape& in) {
  require(in.rank() == 3 && in[1] <= (1 << 24) && in[2] <= (1 << 24),
          "{}: {} needs a [channels, height, width] input of at most 2^24 a side, got {}", node.name, name_of(node.op),
          in.str());
  const Window& w = node.window;
  const bool up = node.op == Op::upsample;
  const Window plain =
      up ? Window{.stride_h = w.stride_h, .stride_w = w.stride_w}
         : Window{.pad_top = w.pad_top, .pad_left = w.pad_left, .pad_bottom = w.pad_bottom, .pad_right = w.pad_right};
  require(w == plain, "{}: {} takes {} only", node.name, name_of(node.op), up ? "factors" : "padding");
  for (const int value : {w.stride_h, w.stride_w, w.pad_top, w.pad_left, w.pad_bottom, w.pad_right}) {
    require(value >= 0 && value <= 32767 && w.stride_h > 0 && w.stride_w > 0,
            "{}: factors from 1 and borders from 0, both to 32767, are supported", node.name);
  }
  const std::int64_t h = in[1] * w.stride_h + w.pad_top + w.pad_bottom;
  const std::int64_t v = in[2] * w.stride_w + w.pad_left + w.pad_right;
  require(h <= (1 << 24) && v <= (1 << 24), "{}: an output of {}x{} is too large", node.name, h, v);
  return chw(in[0], h, v);
}

Shape custom_shape(const Node& node, std::span<const Shape> inputs) {
  require(node.custom != nullptr, "{}: a custom operation without its code; it cannot come from a file", node.name);
  for (const Shape& s : inputs) require(!is_sparse(s), "{}: custom operations take dense activations", node.name);
  Shape out;
  try {
    out = node.custom->infer_shape(inputs);
  } catch (const Error& e) {
    fail("{} ({}): {}", node.name, node.custom->name(), e.what());
  }
  require((out.rank() == 1 || out.rank() == 3) && out.elements() > 0,
          "{} ({}): it makes {}; [channels, height, width] or [features] was expected", node.name, node.custom->name(),
          out.str());
  return out;
}

}  // namespace

const char* name_of(Op op) { return kOpNames[static_cast<int>(op)]; }

bool moves_values(Op op) {
  return op == Op::max_pool || op == Op::flatten || op == Op::upsample || op == Op::pad || op == Op::to_dense;
}

bool is_function(Op op) { return op >= Op::sigmoid && op <= Op::clip; }

bool has_weights(Op op) {
  return op == Op::conv2d || op == Op::conv_transpose2d || op == Op::linear || op == Op::sparse_conv;
}

Op op_named(std::string_view name) {
  const auto* found = std::ranges::find(kOpNames, name);
  require(found != std::end(kOpNames), "unknown operation '{}'", name);
  return static_cast<Op>(found - std::begin(kOpNames));
}

int window_output(int input, int kernel, int stride, int pad_before, int pad_after, int dilation, bool ceil_mode) {
  const int room = input + pad_before + pad_after - (dilation * (kernel - 1) + 1);
  if (room < 0) return 0;
  int size = (room + (ceil_mode ? stride - 1 : 0)) / stride + 1;
  if (ceil_mode && (size - 1) * stride >= input + pad_before) --size;
  return size;
}

bool Node::has(std::string_view key) const {
  return std::ranges::any_of(parameters, [&](const Parameter& p) { return p.key == key; });
}

const Tensor& Node::parameter(std::string_view key) const {
  for (const Parameter& p : parameters) {
    if (p.key != key) continue;
    require(!p.value.empty(), "{}.{} has no values: load or seed the weights first", name, key);
    return p.value;
  }
  fail("{} has no parameter '{}'", name, key);
}

Shape infer_shape(const Node& node, std::span<const Shape> inputs) {
  const Shape& in = inputs[0];
  const auto weight = [&]() -> const Shape& {
    for (const Parameter& p : node.parameters) {
      if (p.key == "weight") return p.shape;
    }
    fail("{}: no weight", node.name);
  };
  switch (node.op) {
    case Op::conv2d:
    case Op::conv_transpose2d: {
      const Shape& w = weight();
      require(
          w.rank() == 4 && in.rank() == 3 && node.groups > 0 && w[1] * node.groups == in[0] && w[0] % node.groups == 0,
          "{}: a weight of {} in {} group(s) does not fit the input {}", node.name, w.str(), node.groups, in.str());
      require(w[0] > 0, "{}: no output channel", node.name);
      require(w[2] == node.window.kernel_h && w[3] == node.window.kernel_w, "{}: a weight of {} for a kernel of {}x{}",
              node.name, w.str(), node.window.kernel_h, node.window.kernel_w);
      return node.op == Op::conv2d ? slide(node, in, w[0]) : spread(node, in, w[0]);
    }
    case Op::linear: {
      const Shape& w = weight();
      require(in.rank() == 1 && w.rank() == 2 && w[0] > 0 && w[1] == in[0],
              "{}: a weight of {} does not fit the input {}", node.name, w.str(), in.str());
      return Shape{w[0]};
    }
    case Op::batch_norm: {
      require(weight().elements() == in[0], "{}: {} channels for an input of {}", node.name, weight().str(), in.str());
      return in;
    }
    case Op::max_pool:
    case Op::avg_pool: {
      const Window& w = node.window;
      require(
          w.pad_top < w.span_h() && w.pad_left < w.span_w() && w.pad_bottom < w.span_h() && w.pad_right < w.span_w(),
          "{}: padding as large as the window makes windows without an element", node.name);
      require(node.op == Op::max_pool || (w.dilation_h == 1 && w.dilation_w == 1), "{}: a dilated average pool",
              node.name);
      const Shape out = slide(node, in, in[0]);
      require(touches_input(in[1], w.stride_h, w.pad_top, w.dilation_h) &&
                  touches_input(in[2], w.stride_w, w.pad_left, w.dilation_w),
              "{}: a dilated window that lies in the padding and beyond {} has no element", node.name, in.str());
      return out;
    }
    case Op::global_avg_pool:
      require(in.rank() == 3, "{}: needs a [channels, height, width] input, got {}", node.name, in.str());
      return chw(in[0], 1, 1);
    case Op::flatten:
      require(!is_sparse(in), "{}: flattens a sparse activation", node.name);
      return Shape{in.elements()};
    case Op::add: {
      require(inputs.size() >= 2, "{}: an add of one input", node.name);
      for (const Shape& other : inputs) require(other == in, "{}: adds {} and {}", node.name, in.str(), other.str());
      return in;
    }
    case Op::concat: {
      require(in.rank() == 3 || is_sparse(in), "{}: concatenates [channels, height, width], got {}", node.name,
              in.str());
      std::int64_t channels = 0;
      for (const Shape& s : inputs) {
        require(s.rank() == in.rank() && std::ranges::equal(s.dims().subspan(1), in.dims().subspan(1)),
                "{}: concatenates {} and {}", node.name, in.str(), s.str());
        channels += s[0];
      }
      return is_sparse(in) ? Shape{channels, in[1], in[2], in[3]} : chw(channels, in[1], in[2]);
    }
    case Op::upsample:
    case Op::pad:
      return resample(node, in);
    case Op::mul: {
      require(inputs.size() == 2, "{}: a product of {} inputs, two were expected", node.name, inputs.size());
      const Shape& by = inputs[1];
      const bool per_channel = in.rank() == 3 && by.rank() == 3 && by == chw(in[0], 1, 1);
      require(by == in || per_channel, "{}: multiplies {} and {}", node.name, in.str(), by.str());
      return in;
    }
    case Op::sparse_conv: {
      const Shape& w = weight();
      require(is_sparse(in) && w.rank() == 5 && w[0] > 0 && w[4] == in[0],
              "{}: a weight of {} does not fit the input {}; [O,kz,ky,kx,C] and [C,Z,Y,X] were expected", node.name,
              w.str(), in.str());
      const SparseWindow& s = node.sparse;
      require(w[1] == s.kernel[0] && w[2] == s.kernel[1] && w[3] == s.kernel[2],
              "{}: a weight of {} for a kernel of {}x{}x{}", node.name, w.str(), s.kernel[0], s.kernel[1], s.kernel[2]);
      const SparseGrid grid = s.inverse ? s.restored : output_grid(node.name, grid_of(in), s);
      return Shape{w[0], grid.z, grid.y, grid.x};
    }
    case Op::to_dense:
      require(is_sparse(in), "{}: needs a sparse [channels, z, y, x] input, got {}", node.name, in.str());
      return chw(in[0] * in[1], in[2], in[3]);
    case Op::custom:
      return custom_shape(node, inputs);
    case Op::clip:
      require(node.alpha <= node.beta, "{}: a clip to [{}, {}]", node.name, node.alpha, node.beta);
      return in;
    case Op::relu:
    case Op::relu6:
    case Op::sigmoid:
    case Op::hard_sigmoid:
    case Op::hard_swish:
    case Op::leaky_relu:
    case Op::softmax:
    case Op::quantise:
    case Op::dequantise:
      return in;
  }
  fail("{}: unknown operation", node.name);
}

EdgeId Graph::input(std::string name, Shape shape) {
  require(input_ < 0, "{}: a second input '{}': one is supported", name_, name);
  require(shape.rank() == 3 || shape.rank() == 1, "{}: an input is [channels, height, width] or [features], got {}",
          name, shape.str());
  require(shape.elements() > 0, "{}: the input {} is empty", name, shape.str());
  edges_.push_back({std::move(name), shape, -1, ""});
  return input_ = static_cast<EdgeId>(edges_.size()) - 1;
}

EdgeId Graph::sparse_input(std::string name, int channels, const SparseGrid& grid) {
  require(input_ < 0, "{}: a second input '{}': one is supported", name_, name);
  require(channels > 0, "{}: the input {} has {} channels", name_, name, channels);
  const int level = sparse_.add_input(grid);
  edges_.push_back({std::move(name), Shape{channels, grid.z, grid.y, grid.x}, -1, "", level});
  return input_ = static_cast<EdgeId>(edges_.size()) - 1;
}

// The sites of a node's output: its input's, unless a convolution changes them.
int Graph::level_of(const Node& node) {
  const int level = edges_[node.inputs[0]].level;
  for (const EdgeId edge : node.inputs) {
    require(edges_[edge].level == level, "{}: its inputs {} and {} have different sites", node.name,
            edges_[node.inputs[0]].name, edges_[edge].name);
  }
  if (node.op == Op::sparse_conv) return sparse_.add(node.name, level, node.sparse, node.inverse_of).level;
  return node.op == Op::to_dense ? -1 : level;
}

EdgeId Graph::append(Node node) {
  require(!node.name.empty(), "{}: a {} node without a name", name_, name_of(node.op));
  require(input_ < 0 || edges_[input_].name != node.name, "the input and a node are both named '{}'", node.name);
  for (const Node& other : nodes_) require(other.name != node.name, "two nodes are named '{}'", node.name);
  require(!node.inputs.empty(), "{}: no input", node.name);
  std::vector<Shape> shapes;
  for (const EdgeId edge : node.inputs) {
    require(edge >= 0 && edge < static_cast<EdgeId>(edges_.size()), "{}: edge {} does not exist", node.name, edge);
    shapes.push_back(edges_[edge].shape);
  }
  const Shape shape = infer_shape(node, shapes);
  node.output = static_cast<EdgeId>(edges_.size());
  edges_.push_back({node.name, shape, static_cast<int>(nodes_.size()), "", level_of(node)});
  nodes_.push_back(std::move(node));
  return nodes_.back().output;
}

EdgeId Graph::unary(std::string name, Op op, EdgeId x) {
  return append({.name = std::move(name), .op = op, .inputs = {x}});
}

EdgeId Graph::conv2d(std::string name, EdgeId x, int out_channels, const ConvOptions& o) {
  return convolution(std::move(name), Op::conv2d, x, out_channels, o);
}

EdgeId Graph::conv_transpose2d(std::string name, EdgeId x, int out_channels, const ConvOptions& o) {
  return convolution(std::move(name), Op::conv_transpose2d, x, out_channels, o);
}

EdgeId Graph::convolution(std::string name, Op op, EdgeId x, int out_channels, const ConvOptions& o) {
  const Shape& in = edges_.at(x).shape;
  require(in.rank() == 3, "{}: a convolution needs a [channels, height, width] input, got {}", name, in.str());
  require(o.groups > 0 && in[0] % o.groups == 0, "{}: {} groups do not divide {} channels", name, o.groups, in[0]);
  Node node{.name = std::move(name), .op = op, .inputs = {x}, .window = o.window, .groups = o.groups};
  node.parameters.push_back(
      {"weight", Shape{out_channels, in[0] / o.groups, o.window.kernel_h, o.window.kernel_w}, {}});
  if (o.bias) node.parameters.push_back({"bias", Shape{out_channels}, {}});
  return append(std::move(node));
}

EdgeId Graph::sparse_conv(std::string name, EdgeId x, int out_channels, const SparseConvOptions& o) {
  const Shape& in = edges_.at(x).shape;
  require(is_sparse(in), "{}: a sparse convolution needs a sparse [channels, z, y, x] input, got {}", name, in.str());
  Node node{.name = std::move(name), .op = Op::sparse_conv, .inputs = {x}};
  node.sparse = {.kernel = o.kernel, .stride = o.stride, .padding = o.padding, .dilation = o.dilation};
  node.sparse.submanifold = o.submanifold;
  for (std::size_t axis = 0; o.submanifold && axis < 3; ++axis) {
    node.sparse.padding[axis] = o.dilation[axis] * (o.kernel[axis] - 1) / 2;
  }
  node.parameters.push_back({"weight", Shape{out_channels, o.kernel[0], o.kernel[1], o.kernel[2], in[0]}, {}});
  if (o.bias) node.parameters.push_back({"bias", Shape{out_channels}, {}});
  return append(std::move(node));
}

EdgeId Graph::inverse_sparse_conv(std::string name, EdgeId x, int out_channels, const std::string& undoes, bool bias) {
  const Shape& in = edges_.at(x).shape;
  require(is_sparse(in), "{}: a sparse convolution needs a sparse [channels, z, y, x] input, got {}", name, in.str());
  const RulebookPlan& forward = sparse_.of(name, undoes);
  Node node{.name = std::move(name), .op = Op::sparse_conv, .inputs = {x}, .sparse = forward.window};
  node.sparse.inverse = true;
  node.sparse.restored = sparse_.levels()[static_cast<std::size_t>(forward.from)].grid;
  node.inverse_of = undoes;
  const SparseWindow::Triple& k = forward.window.kernel;
  node.parameters.push_back({"weight", Shape{out_channels, k[0], k[1], k[2], in[0]}, {}});
  if (bias) node.parameters.push_back({"bias", Shape{out_channels}, {}});
  return append(std::move(node));
}

EdgeId Graph::to_dense(std::string name, EdgeId x) { return unary(std::move(name), Op::to_dense, x); }

EdgeId Graph::linear(std::string name, EdgeId x, int out_features, bool bias) {
  Node node{.name = std::move(name), .op = Op::linear, .inputs = {x}};
  node.parameters.push_back({"weight", Shape{out_features, edges_.at(x).shape.elements()}, {}});
  if (bias) node.parameters.push_back({"bias", Shape{out_features}, {}});
  return append(std::move(node));
}

EdgeId Graph::batch_norm(std::string name, EdgeId x, float eps) {
  Node node{.name = std::move(name), .op = Op::batch_norm, .inputs = {x}, .eps = eps};
  const Shape channels{edges_.at(x).shape[0]};
  for (const char* key : {"weight", "bias", "running_mean", "running_var"})
    node.parameters.push_back({key, channels, {}});
  return append(std::move(node));
}

EdgeId Graph::relu(std::string name, EdgeId x) { return unary(std::move(name), Op::relu, x); }
EdgeId Graph::relu6(std::string name, EdgeId x) { return unary(std::move(name), Op::relu6, x); }
EdgeId Graph::flatten(std::string name, EdgeId x) { return unary(std::move(name), Op::flatten, x); }
EdgeId Graph::global_avg_pool(std::string name, EdgeId x) { return unary(std::move(name), Op::global_avg_pool, x); }

EdgeId Graph::max_pool(std::string name, EdgeId x, const Window& window, bool ceil_mode) {
  return append({.name = std::move(name), .op = Op::max_pool, .inputs = {x}, .window = window, .ceil_mode = ceil_mode});
}

EdgeId Graph::avg_pool(std::string name, EdgeId x, const Window& window, bool ceil_mode, bool count_include_pad) {
  return append({.name = std::move(name),
                 .op = Op::avg_pool,
                 .inputs = {x},
                 .window = window,
                 .ceil_mode = ceil_mode,
                 .count_include_pad = count_include_pad});
}

EdgeId Graph::add(std::string name, std::vector<EdgeId> inputs) {
  return append({.name = std::move(name), .op = Op::add, .inputs = std::move(inputs)});
}

EdgeId Graph::concat(std::string name, std::vector<EdgeId> inputs) {
  return append({.name = std::move(name), .op = Op::concat, .inputs = std::move(inputs)});
}

EdgeId Graph::upsample(std::string name, EdgeId x, int factor_h, int factor_w) {
  return append({.name = std::move(name),
                 .op = Op::upsample,
                 .inputs = {x},
                 .window = {.stride_h = factor_h, .stride_w = factor_w}});
}

EdgeId Graph::pad(std::string name, EdgeId x, int top, int left, int bottom, int right) {
  return append({.name = std::move(name),
                 .op = Op::pad,
                 .inputs = {x},
                 .window = {.pad_top = top, .pad_left = left, .pad_bottom = bottom, .pad_right = right}});
}

EdgeId Graph::function(std::string name, Op op, EdgeId x, float alpha, float beta) {
  require(is_function(op), "{}: {} is not a function of one value", name, name_of(op));
  return append({.name = std::move(name), .op = op, .inputs = {x}, .alpha = alpha, .beta = beta});
}

EdgeId Graph::mul(std::string name, EdgeId a, EdgeId b) {
  return append({.name = std::move(name), .op = Op::mul, .inputs = {a, b}});
}

EdgeId Graph::softmax(std::string name, EdgeId x) { return unary(std::move(name), Op::softmax, x); }

EdgeId Graph::custom(std::string name, std::shared_ptr<const CustomOp> op, std::vector<EdgeId> inputs) {
  return append({.name = std::move(name), .op = Op::custom, .inputs = std::move(inputs), .custom = std::move(op)});
}

EdgeId Graph::observe(EdgeId edge, std::string observer) {
  require(observed(observer) < 0, "two observers are named '{}'", observer);
  require(edges_.at(edge).observer.empty(), "the edge {} already has the observer '{}'", edges_[edge].name,
          edges_[edge].observer);
  edges_[edge].observer = std::move(observer);
  return edge;
}

void Graph::set_output(EdgeId edge) {
  require(edge >= 0 && edge < static_cast<EdgeId>(edges_.size()), "{}: the output edge does not exist", name_);
  output_ = edge;
}

EdgeId Graph::observed(std::string_view observer) const {
  for (std::size_t i = 0; i < edges_.size(); ++i) {
    if (!observer.empty() && edges_[i].observer == observer) return static_cast<EdgeId>(i);
  }
  return -1;
}

std::vector<int> Graph::consumers(EdgeId edge) const {
  std::vector<int> found;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (std::ranges::find(nodes_[i].inputs, edge) != nodes_[i].inputs.end()) found.push_back(static_cast<int>(i));
  }
  return found;
}

SparseGrid grid_of(const Shape& shape) { return {shape[1], shape[2], shape[3]}; }

bool wide_edge(const Graph& graph, EdgeId edge) {
  if (edge != graph.input_edge() || graph.edges()[static_cast<std::size_t>(edge)].level < 0) return false;
  return std::ranges::all_of(graph.consumers(edge), [&](int node) {
    return graph.nodes()[static_cast<std::size_t>(node)].op == Op::sparse_conv;
  });
}

void Graph::validate_structure() const {
  require(input_ >= 0, "{}: no input", name_);
  require(output_ >= 0, "{}: no output", name_);
  for (const Node& node : nodes_) {
    require(node.output == output_ || !consumers(node.output).empty(), "{}: its output is used by nobody", node.name);
  }
}

void Graph::validate() const {
  validate_structure();
  for (const Node& node : nodes_) {
    for (const Parameter& p : node.parameters) node.parameter(p.key);
  }
}

}  // namespace octet
