// Graph: a float network as its author wrote it. Nodes compute, edges carry one activation each; observers mark the
// edges whose range calibration must know. A Graph says nothing about integers (QGraph does) or devices (Program does).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/quant_params.h"
#include "runtime/sparse_plan.h"
#include "runtime/tensor.h"
#include "runtime/window.h"

namespace octet {

class StateDict;
using EdgeId = int;  // an index into Graph::edges()

// Shapes without the batch.
enum class Op : std::uint8_t {
  conv2d,  // [C,H,W] -> [O,H',W']; weight [O, C/groups, kh, kw], bias [O]
  // The transpose of conv2d: each input element adds its multiple of the kernel to the output, `stride` apart. Weight
  // [O, C/groups, kh, kw] here, one row an output channel like every other layer's; PyTorch's and ONNX's [C, O/groups,
  // kh, kw] is turned round as it is read (channels_turned). H' = (H - 1) * stride - pad_top - pad_bottom + span, so
  // that an output padding is that much less of pad_bottom / pad_right, which may be negative here alone.
  conv_transpose2d,
  linear,      // [F] -> [O]; weight [O, F], bias [O]
  batch_norm,  // per channel: weight, bias, running_mean, running_var [C]
  relu,
  relu6,
  max_pool,         // padding never wins: it is excluded, not zero
  avg_pool,         // padding is excluded from the count unless count_include_pad
  global_avg_pool,  // [C,H,W] -> [C,1,1]
  flatten,          // [C,H,W] -> [C*H*W], in C,H,W order
  add,              // two or more inputs of one shape, summed left to right
  concat,           // along channels
  upsample,         // every pixel becomes window.stride_h x window.stride_w of it (nearest)
  pad,              // a border of zeros, window.pad_* wide
  // Real functions of one value (runtime/functions.h): rule 12 gives them their integers.
  sigmoid,
  hard_sigmoid,  // min(max(alpha * x + beta, 0), 1)
  hard_swish,    // x * min(max(x / 6 + 1 / 2, 0), 1)
  leaky_relu,    // x where x >= 0, alpha * x elsewhere
  clip,          // min(max(x, alpha), beta)
  // Only in float: the contract has no integers for them.
  mul,      // two inputs of one shape, or [C,H,W] * [C,1,1]
  softmax,  // over the channels of each pixel; of [F], over the features
  // Sparse activations (runtime/sparse.h): edges of rank 4, [C,Z,Y,X], of which only the sites exist.
  sparse_conv,  // weight [O, kz, ky, kx, C] (spconv 2's order), bias [O]; submanifold, strided or inverse
  to_dense,     // [C,Z,Y,X] -> [C*Z,Y,X], channel c * Z + z; 0 where no site is
  custom,       // the user's own (runtime/custom_op.h)
  // In a QGraph, and in a Graph that was imported from a quantised file (runtime/onnx/):
  quantise,
  dequantise,
};
const char* name_of(Op op);
bool is_function(Op op);             // sigmoid ... clip
bool has_weights(Op op);             // multiplies its input with a weight: convolutions and linear
bool moves_values(Op op);            // max_pool, flatten, upsample, pad, to_dense: INT8 keeps the input's step and zero
Op op_named(std::string_view name);  // throws Error

struct Parameter {  // one tensor of a node's
  std::string key;  // "weight": the state-dict key is NODE.weight
  Shape shape;
  Tensor value;  // f32; empty until loaded
};

class CustomOp;

// The integers that a quantised file gives a layer; its parameters hold the same weights as reals.
struct IntegerWeights {
  Tensor weight;                   // s8, of the weight's shape, within [-127, 127]
  std::vector<float> step;         // one an output channel
  std::vector<std::int32_t> bias;  // in units of bias_step[o]; empty where the bias is real or missing
  std::vector<float> bias_step;
};

// One operation; what it does not use keeps its default.
struct Node {
  std::string name;  // dotted, unique
  Op op;
  std::vector<EdgeId> inputs;
  EdgeId output = -1;
  Window window;
  SparseWindow sparse;     // sparse_conv
  std::string inverse_of;  // sparse_conv, inverse: the convolution that it undoes
  int groups = 1;
  bool ceil_mode = false;
  bool count_include_pad = false;
  float eps = 1e-5f;
  float alpha = 0, beta = 0;  // of the functions above
  std::vector<Parameter> parameters;
  std::optional<QuantParams> quant;  // quantise: what the integers behind it mean
  std::shared_ptr<const IntegerWeights> integers;
  std::shared_ptr<const CustomOp> custom;

  const Tensor& parameter(std::string_view key) const;  // throws Error when absent or not loaded
  bool has(std::string_view key) const;                 // whether the layer has such a parameter
};

// One activation.
struct Edge {
  std::string name;      // the producer's name, or the input's
  Shape shape;           // without the batch; rank 4, [C,Z,Y,X], where the activation is sparse
  int producer = -1;     // node index; -1 for the graph's input
  std::string observer;  // the name under which its range is recorded; empty: not observed
  int level = -1;        // sparse: which set of sites (Graph::sparse_plan); -1 for a dense edge
};

struct ConvOptions {  // of conv2d and conv_transpose2d
  Window window;
  int groups = 1;
  bool bias = true;
};

// Triples are z, y, x. A submanifold convolution is centred whatever `padding` says.
struct SparseConvOptions {
  SparseWindow::Triple kernel{3, 3, 3}, stride{1, 1, 1}, padding{0, 0, 0}, dilation{1, 1, 1};
  bool submanifold = false;
  bool bias = true;
};

class Graph {
 public:
  explicit Graph(std::string name) : name_(std::move(name)) {}

  // Building. Every call infers the shape and throws Error naming the node when something does not fit.
  EdgeId input(std::string name, Shape shape);  // one input, [C,H,W] or [F]
  // Instead of input(): sites on a grid, each with `channels` features. Flat grids have z = 1.
  EdgeId sparse_input(std::string name, int channels, const SparseGrid& grid);
  EdgeId sparse_conv(std::string name, EdgeId x, int out_channels, const SparseConvOptions& options);
  // Back to the sites (and the grid) that the sparse convolution named `undoes` started from, with its geometry.
  EdgeId inverse_sparse_conv(std::string name, EdgeId x, int out_channels, const std::string& undoes, bool bias = true);
  EdgeId to_dense(std::string name, EdgeId x);
  EdgeId conv2d(std::string name, EdgeId x, int out_channels, const ConvOptions& options);
  EdgeId conv_transpose2d(std::string name, EdgeId x, int out_channels, const ConvOptions& options);
  EdgeId linear(std::string name, EdgeId x, int out_features, bool bias = true);
  EdgeId batch_norm(std::string name, EdgeId x, float eps = 1e-5f);
  EdgeId relu(std::string name, EdgeId x);
  EdgeId relu6(std::string name, EdgeId x);
  EdgeId max_pool(std::string name, EdgeId x, const Window& window, bool ceil_mode = false);
  EdgeId avg_pool(std::string name, EdgeId x, const Window& window, bool ceil_mode = false,
                  bool count_include_pad = false);
  EdgeId global_avg_pool(std::string name, EdgeId x);
  EdgeId flatten(std::string name, EdgeId x);
  EdgeId add(std::string name, std::vector<EdgeId> inputs);
  EdgeId concat(std::string name, std::vector<EdgeId> inputs);
  EdgeId upsample(std::string name, EdgeId x, int factor_h, int factor_w);
  EdgeId pad(std::string name, EdgeId x, int top, int left, int bottom, int right);
  EdgeId function(std::string name, Op op, EdgeId x, float alpha = 0, float beta = 0);  // sigmoid ... clip
  EdgeId mul(std::string name, EdgeId a, EdgeId b);
  EdgeId softmax(std::string name, EdgeId x);
  EdgeId custom(std::string name, std::shared_ptr<const CustomOp> op, std::vector<EdgeId> inputs);
  // Marks an edge for calibration under `observer` (unique). Returns the edge, so that it reads like a layer.
  EdgeId observe(EdgeId edge, std::string observer);
  void set_output(EdgeId edge);
  EdgeId append(Node node);  // a node made elsewhere (an importer, batch-norm folding): inferred and checked likewise

  const std::string& name() const { return name_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Edge>& edges() const { return edges_; }
  EdgeId input_edge() const { return input_; }
  EdgeId output_edge() const { return output_; }
  EdgeId observed(std::string_view observer) const;          // -1 when there is none
  std::vector<int> consumers(EdgeId edge) const;             // node indices
  const SparsePlan& sparse_plan() const { return sparse_; }  // no levels in a dense network
  std::int64_t parameter_count() const;                      // learnable ones: running statistics do not count
  Node& node(int index) { return nodes_[index]; }            // to change its parameters' values

  // Fills every parameter from a checkpoint (state-dict keys NODE.KEY, PyTorch's layouts). A key that the graph wants
  // and the file lacks, a wrong shape, a NaN or an infinity is an Error; returns the file's keys that nobody wanted.
  std::vector<std::string> load(const StateDict& weights);
  // Seeded weights for speed measurements: convolutions Kaiming normal (fan-out), linear normal(0, 0.01), batch-norm
  // gamma 1, beta 0, running statistics 0 and 1.
  void seed_weights(std::uint64_t seed);
  // One input, one output, every node used. Throws Error naming the node.
  void validate_structure() const;
  // Also: every parameter loaded.
  void validate() const;

 private:
  EdgeId unary(std::string name, Op op, EdgeId x);
  EdgeId convolution(std::string name, Op op, EdgeId x, int out_channels, const ConvOptions& options);
  int level_of(const Node& node);

  std::string name_;
  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  SparsePlan sparse_;
  EdgeId input_ = -1;
  EdgeId output_ = -1;
};

// Whether an edge is quantised to 15 bits and a sign (QuantParams::kWide) instead of 8 bits: the input of a sparse
// network that only sparse convolutions read.
bool wide_edge(const Graph& graph, EdgeId edge);

// The grid of a sparse edge's shape [C,Z,Y,X].
SparseGrid grid_of(const Shape& shape);

// The shape of a node's output (without the batch). Throws Error naming the node when the inputs do not fit it.
Shape infer_shape(const Node& node, std::span<const Shape> inputs);

// A transposed convolution's weight [C, O/groups, kh, kw] as [O, C/groups, kh, kw], and back: the same exchange. Any
// type of element; `groups` must divide the first dimension.
Tensor channels_turned(const Tensor& weight, int groups);

// The output size of a sliding window along one axis, as PyTorch computes it: in ceil_mode the last window must start
// inside the input or its leading padding.
int window_output(int input, int kernel, int stride, int pad_before, int pad_after, int dilation, bool ceil_mode);

}  // namespace octet
