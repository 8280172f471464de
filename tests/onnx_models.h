// Small ONNX models for tests, written as they read: nodes, constants, an input and an output.
#pragma once

#include <string>
#include <vector>

#include "runtime/error.h"
#include "runtime/io/onnx_file.h"
#include "runtime/onnx/import.h"

namespace octet::test {

using onnx::Attribute;

inline Attribute integer(std::string name, std::int64_t value) {
  return {.name = std::move(name), .kind = Attribute::Kind::integer, .i = value};
}
inline Attribute real(std::string name, float value) {
  return {.name = std::move(name), .kind = Attribute::Kind::real, .f = value};
}
inline Attribute text(std::string name, std::string value) {
  return {.name = std::move(name), .kind = Attribute::Kind::text, .s = std::move(value)};
}
inline Attribute integers(std::string name, std::vector<std::int64_t> values) {
  return {.name = std::move(name), .kind = Attribute::Kind::integers, .ints = std::move(values)};
}

inline Tensor reals(Shape shape, std::vector<float> values) {
  return Tensor::of<float>(shape, std::span<const float>(values));
}
// 1, -2, 3, -4, ... over 8: exact in float.
inline Tensor ramp(Shape shape) {
  Tensor tensor(DType::f32, shape);
  float v = 1;
  for (float& x : tensor.span<float>()) x = v / 8, v = v > 0 ? -v - 1 : -v + 1;
  return tensor;
}
inline Tensor longs(std::vector<std::int64_t> values) {
  return Tensor::of<std::int64_t>(Shape{static_cast<std::int64_t>(values.size())},
                                  std::span<const std::int64_t>(values));
}

// `x` goes in with the given dimensions (-1: dynamic), `y` comes out.
class ModelMaker {
 public:
  explicit ModelMaker(std::vector<std::int64_t> dims, std::int64_t opset = 13) {
    model.opsets[""] = opset;
    model.graph_name = "made";
    model.inputs.push_back({.name = "x", .elem_type = 1, .dims = std::move(dims), .has_shape = true});
    model.outputs.push_back({.name = "y", .elem_type = 1});
  }
  ModelMaker& constant(const std::string& name, Tensor value) {
    model.initializers[name] = std::move(value);
    return *this;
  }
  ModelMaker& node(const std::string& op, std::vector<std::string> inputs, std::vector<std::string> outputs,
                   std::vector<Attribute> attributes = {}, const std::string& name = "") {
    model.nodes.push_back({.name = name,
                           .op_type = op,
                           .inputs = std::move(inputs),
                           .outputs = std::move(outputs),
                           .attributes = std::move(attributes)});
    return *this;
  }
  // Through the file format and back.
  onnx::Model reread() const { return onnx::parse_model(onnx::model_bytes(model), ".", "made.onnx"); }
  Graph graph() const { return onnx::import_graph(reread(), "made"); }
  std::string error() const {
    try {
      graph();
    } catch (const Error& e) {
      return e.what();
    }
    return "(no error)";
  }

  onnx::Model model;
};

}  // namespace octet::test
