// The planner's working state: one pending step per kernel call, in order, over the values of a Layout.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "kernels/plan/layout.h"
#include "kernels/plan/params.h"
#include "kernels/plan/selection.h"

namespace octet::kernels {

// "conv2d" for a value of bytes or floats: "conv2d_s8" or "conv2d_f32".
std::string typed(const char* op, const Value& v);
// What a kernel may rely on about its input's integers; a halo holds the zero point.
void set_input_range(ConvParams& params, const Value& input);

struct Pending {
  Step step;
  Selection kernel;
  std::vector<int> inputs;   // values
  int output = -1;           // value
  Tensor weights;            // still in PyTorch's order
  ConvData* conv = nullptr;  // set together with weights: where the packed form goes
};

class Planner {
 public:
  Planner(const QGraph& graph, const PlanOptions& options)
      : graph_(graph),
        options_(options),
        sparse_(sparse_edges(graph)),
        layout_(options.batch, options.gpu.has_value()) {}
  std::shared_ptr<const Program> run();

 private:
  // 1. values and steps
  void make_input();
  void lower(const QNode& node);
  void lower_conv(const QNode& node);
  void lower_conv_transpose(const QNode& node);
  void lower_linear(const QNode& node);
  void lower_concat(const QNode& node);
  void lower_quantise(const QNode& node);
  void lower_function(const QNode& node, int input);
  void lower_resample(const QNode& node, int input);
  void lower_softmax(const QNode& node, int input);
  void lower_mul(const QNode& node, int a, int b);
  void lower_custom(const QNode& node, const std::vector<int>& inputs);
  void make_sparse_input();
  void lower_sparse_conv(const QNode& node);
  void lower_to_dense(const QNode& node, int input);
  void make_output();
  Value describe(EdgeId edge, int like = -1) const;
  int make_value(EdgeId edge, int like = -1);
  const QNode* pool_to_fuse(const QNode& conv, const char* op, int input, const ConvData& data) const;
  Selection choose_for(const std::string& op, const std::vector<int>& inputs, const Value& output,
                       const void* params) const;
  int real_input();  // the network's input as an NHWC f32 activation, made when first asked for
  Pending& emit(const QNode& node, std::string op, std::vector<int> inputs, int output,
                std::shared_ptr<const void> params);
  Pending& emit_weighted(const QNode& node, std::string op, int input, int output, std::shared_ptr<ConvData> data);
  void copy_into(const std::string& name, EdgeId from_edge, int from, EdgeId to_edge, int to);

  // 2. memory
  void share_concats();
  void fuse_adds();
  void share_adds();
  bool shareable(int value) const;
  bool fits_as_slice(int from, int slice) const;
  void request_halos();
  void align_residuals();
  void insert_halo_fills();
  void finish(Program& program);
  void finish(Pending& pending, const StepArgs& args);

  const QGraph& graph_;
  const PlanOptions& options_;
  SparseEdges sparse_;
  Layout layout_;
  std::vector<int> value_of_;  // edge -> value; -1 until made
  int real_input_ = -1;
  std::vector<Pending> steps_;
  std::set<EdgeId> fused_;  // outputs of nodes that became part of another node's step
};

}  // namespace octet::kernels
