// The importer's working state: which Graph edge or constant each ONNX name stands for, node by node.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/graph.h"
#include "runtime/io/onnx_file.h"
#include "runtime/onnx/attributes.h"

namespace octet::onnx {

class Importer {
 public:
  Importer(const Model& model, const std::string& name, std::vector<std::string>& notes)
      : model_(model), graph_(name), notes_(notes) {}
  Graph run();

 private:
  // An activation: a Graph edge, seen with the dimensions (behind the batch) that ONNX gives it. They differ from the
  // edge's where a reshape or transpose only moved axes of size 1, as in [N, C] -> [N, C, 1, 1].
  struct Activation {
    EdgeId edge = -1;
    std::vector<std::int64_t> dims;
    bool integer = false;  // between a QuantizeLinear and its DequantizeLinear
    // A Pad of zeros that is not a layer yet: `dims` has its border, `edge` does not.
    const NodeProto* pad = nullptr;
    Window padding;
  };
  // A constant that came out of a DequantizeLinear: what went in.
  struct IntegerConstant {
    Tensor values;  // s8, u8 or s32
    std::vector<float> scale;
    std::vector<std::int32_t> zero;
    std::int64_t axis = 0;  // along which they vary, where there is more than one
  };
  // A tensor of coordinates: which sites of the network it stands for.
  struct Sites {
    SparseGrid grid;
    std::string from;     // the coordinates that SparseSites made it of; empty for the network's input
    SparseWindow window;  // and how
    int level = -1;       // of the graph's; known once a convolution leads there
  };
  struct RulebookUse {
    std::string from, to;  // coordinates
    SparseWindow window;
    bool operator==(const RulebookUse&) const = default;
  };
  using Handler = void (Importer::*)(const NodeProto&);
  static const std::map<std::string, Handler, std::less<>>& handlers();
  static const std::map<std::string, Handler, std::less<>>& sparse_handlers();

  // importer.cpp
  void make_input();
  std::vector<bool> reachable() const;
  void import_node(const NodeProto& node);
  bool is_constant(const std::string& name) const { return constants_.contains(name); }
  const Tensor& constant(const NodeProto& node, std::size_t input, const char* what) const;
  bool has_input(const NodeProto& node, std::size_t input) const;
  void inputs_between(const NodeProto& node, std::size_t least, std::size_t most) const;
  const Activation& activation(const NodeProto& node, std::size_t input);  // a Pad before it becomes a layer
  EdgeId edge(const NodeProto& node, std::size_t input);                   // of reals, lying as the edge does
  EdgeId edge_of_either(const NodeProto& node, std::size_t input);         // of reals or integers
  const Shape& shape(EdgeId edge) const { return graph_.edges()[static_cast<std::size_t>(edge)].shape; }
  void define(const NodeProto& node, EdgeId edge, bool integer = false);
  void define_constant(const NodeProto& node, Tensor value);
  void alias(const NodeProto& node, std::size_t input = 0);  // the output is the input
  std::string layer_name(const NodeProto& node, const std::string& weight = "") const;
  EdgeId append(Node node);
  EdgeId scale_shift(const NodeProto& node, EdgeId x, std::vector<float> scale, std::vector<float> shift);

  // import_layers.cpp
  void conv(const NodeProto& node);
  void conv_transpose(const NodeProto& node);
  Window transposed_window_of(const NodeProto& node, Attributes& attributes, const Shape& in,
                              const Shape& weight) const;
  void gemm(const NodeProto& node);
  void matmul(const NodeProto& node);
  void linear(const NodeProto& node, const Tensor& weight, const Tensor* bias,
              std::shared_ptr<const IntegerWeights> integers);
  void batch_norm(const NodeProto& node);
  bool takes_pad(const NodeProto& node) const;
  void pool(const NodeProto& node);
  void global_pool(const NodeProto& node);
  void reduce_mean(const NodeProto& node);
  Window window_of(const NodeProto& node, Attributes& attributes, const Shape& in, int kernel_h, int kernel_w) const;

  // import_pixels.cpp
  EdgeId edge_before_pad(const NodeProto& node, Window& padding);
  void make_pad(Activation& of);
  void pad(const NodeProto& node);
  void resize(const NodeProto& node);

  // import_elementwise.cpp
  void relu(const NodeProto& node);
  void clip(const NodeProto& node);
  void function(const NodeProto& node);
  void arithmetic(const NodeProto& node);
  void sum(const NodeProto& node);
  void with_constant(const NodeProto& node, EdgeId x, const Tensor& value, bool constant_first);
  void softmax(const NodeProto& node);
  void concat(const NodeProto& node);

  // import_quantised.cpp
  void quantize(const NodeProto& node);
  void dequantize(const NodeProto& node);
  const QuantParams& quantised_as(EdgeId integers) const;
  IntegerConstant scales_of(const NodeProto& node, Attributes& attributes, const Shape& values) const;
  std::shared_ptr<const IntegerWeights> integers_of_layer(const NodeProto& node, std::int64_t channel_axis,
                                                          float factor, float bias_factor, int turned_groups = 0);

  // import_sparse.cpp
  bool is_sparse() const;
  void make_sparse_input();
  Sites& sites(const NodeProto& node, std::size_t input);
  Sites& sites_of_input(const NodeProto& node, Attributes& attributes, EdgeId x, std::size_t at);
  void sparse_sites(const NodeProto& node);
  void sparse_conv(const NodeProto& node);
  void sparse_to_dense(const NodeProto& node);
  void check_rulebook(const NodeProto& node, Attributes& attributes, const SparseWindow& window);

  // import_shapes.cpp
  void identity(const NodeProto& node);
  void constant_node(const NodeProto& node);
  void flatten(const NodeProto& node);
  void reshape(const NodeProto& node);
  void squeeze(const NodeProto& node);
  void unsqueeze(const NodeProto& node);
  void transpose(const NodeProto& node);
  void shape_of(const NodeProto& node);
  void gather(const NodeProto& node);
  void slice(const NodeProto& node);
  void cast(const NodeProto& node);
  void rearrange(const NodeProto& node, const Activation& from, std::vector<std::int64_t> dims);
  std::vector<std::int64_t> axes_of(const NodeProto& node, Attributes& attributes, int since) const;

  const Model& model_;
  Graph graph_;
  std::vector<std::string>& notes_;
  std::map<std::string, Tensor, std::less<>> constants_;
  std::map<std::string, IntegerConstant, std::less<>> integer_constants_;  // beside their reals in constants_
  std::map<std::string, Activation, std::less<>> activations_;
  std::map<std::string, Sites, std::less<>> sites_;
  std::map<std::int64_t, RulebookUse> rulebooks_;  // by the number that the file gives them
  std::string frames_;                             // sparse networks: the input that says how many frames there are
  std::set<std::string, std::less<>> names_;       // of layers, which must differ
  std::set<std::string, std::less<>> used_;        // whatever some node takes in
};

// A constant as f32. Throws Error, calling it `what`, when it holds something infinite.
Tensor finite(const NodeProto& node, const Tensor& tensor, const char* what);
// An axis of ONNX, negative ones counted from the back. Throws Error when there is no such axis.
std::int64_t axis_in(const NodeProto& node, std::int64_t axis, std::size_t rank);
// A constant of integers as s64, whatever its type.
std::vector<std::int64_t> integers_of(const NodeProto& node, const Tensor& tensor);
// In shapes that are computed inside the graph, this value stands for the batch size.
constexpr std::int64_t kBatch = std::int64_t{-1} << 60;

}  // namespace octet::onnx
