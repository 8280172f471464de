// The exporter's working state: which real tensor of the ONNX model stands for each edge of the QGraph.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "runtime/onnx/export.h"

namespace octet::onnx {

// Writes one model.
class Exporter {
 public:
  // Both must outlive it.
  Exporter(const QGraph& graph, const ExportOptions& options) : graph_(graph), options_(options) {}
  // Once. Throws Error as export_model() does.
  Model run();

 private:
  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }
  const QEdge& edge(EdgeId id) const { return graph_.edges[index(id)]; }

  // export.cpp
  void name_output();
  void write_input();
  void write_output();
  ValueInfo describe(const char* name, EdgeId id) const;
  std::string reserve(std::string name);
  NodeProto& add(const char* op, const std::string& name, std::vector<std::string> inputs, std::string output,
                 std::vector<Attribute> attributes = {});
  std::string constant(const std::string& name, Tensor value);
  std::string weights(const std::string& name, const Tensor& values);  // half precision where that was asked for
  std::string real_name(const QNode& node, bool before_activation);
  void quantise(const std::string& node_name, const std::string& from, EdgeId id);
  NodeProto& finish(const QNode& node, const char* op, std::vector<std::string> inputs,
                    std::vector<Attribute> attributes = {});
  void activate(bool six, const std::string& name, const std::string& from, const std::string& to);
  std::vector<std::string> inputs_of(const QNode& node) const;
  std::vector<std::string> weighted_inputs(const QNode& node);

  // export_layers.cpp
  void write(const QNode& node);
  void affine(const QNode& node);
  void function(const QNode& node);
  void upsample(const QNode& node);
  void pad(const QNode& node);
  std::vector<std::string> inputs_of_sum(const QNode& node);

  // export_sparse.cpp
  void write_sites_input();
  void write_sparse(const QNode& node);
  void to_dense(const QNode& node);
  std::string sites_of(int level, const std::string& convolution);

  const QGraph& graph_;
  const ExportOptions& options_;
  Model model_;
  std::vector<std::string> tensors_;  // by edge: the real tensor that stands for it
  std::set<std::string> taken_;
  EdgeId output_ = -1;  // the edge whose real tensor is `output`, or in half precision what becomes it
  std::string output_name_ = "output";
  SparseEdges sparse_;
  std::vector<std::string> sites_;  // by level: the tensor of its coordinates; empty until it is needed
  std::string frames_;              // sparse, dynamic batch: the input that says how many frames there are
};

// Attributes, as one writes them.
inline Attribute integer(const char* name, std::int64_t value) {
  return {.name = name, .kind = Attribute::Kind::integer, .i = value};
}
inline Attribute real(const char* name, float value) {
  return {.name = name, .kind = Attribute::Kind::real, .f = value};
}
inline Attribute integers(const char* name, std::vector<std::int64_t> values) {
  return {.name = name, .kind = Attribute::Kind::integers, .ints = std::move(values)};
}
inline Attribute text(const char* name, std::string value) {
  return {.name = name, .kind = Attribute::Kind::text, .s = std::move(value)};
}
inline Tensor scalar(float value) { return Tensor::of<float>(Shape{}, {&value, 1}); }

}  // namespace octet::onnx
