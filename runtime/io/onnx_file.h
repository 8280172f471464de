// ONNX files as plain structs, in and out. Nothing here knows what an operator means (runtime/onnx/ does); nothing
// outside of runtime/io/ sees protobuf.
//
// The schema is Debian's (libonnx-dev installs onnx.proto), compiled at build time for protobuf-lite. A build without
// it works; then every function below throws Error "built without ONNX".
//
// Files are hostile until proved otherwise. Before protobuf sees a byte, a scan bounds how many objects the file can
// ask for; a tensor's size is checked against the bytes that are there before memory is taken; names of external data
// stay inside the model's folder. Sub-graphs of control flow are not read: an attribute that holds one says so.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tensor.h"

namespace octet::onnx {

struct Attribute {  // AttributeProto: the field of its kind is set
  // Which field holds it.
  enum class Kind : std::uint8_t { integer, real, text, tensor, integers, reals, texts, other };
  std::string name;
  Kind kind = Kind::other;  // other: sub-graphs, sparse tensors, types
  std::int64_t i = 0;
  float f = 0;
  std::string s;
  Tensor t;
  std::vector<std::int64_t> ints;
  std::vector<float> floats;
};

// NodeProto: one operator with its attributes.
struct NodeProto {
  std::string name;  // often empty, not always unique
  std::string op_type;
  std::string domain;               // empty: ONNX's own operators ("ai.onnx" is read as empty)
  std::vector<std::string> inputs;  // an empty name: an optional input that is not given
  std::vector<std::string> outputs;
  std::vector<Attribute> attributes;

  const Attribute* find(std::string_view attribute) const;  // nullptr when there is none
  std::string str() const;                                  // for messages: "Conv 'features.0.0'", name or first output
};

struct ValueInfo {  // ValueInfoProto
  std::string name;
  std::int32_t elem_type = 0;      // TensorProto.DataType; 1 is float
  std::vector<std::int64_t> dims;  // -1: dynamic (a name, or nothing)
  std::vector<std::string> names;  // of dynamic dimensions, as many as dims; may be empty when writing
  bool has_shape = false;
};

struct Model {  // ModelProto and its GraphProto
  std::int64_t ir_version = 8;
  std::string producer;
  std::string graph_name;
  std::map<std::string, std::int64_t> opsets;  // domain -> version; "" is ONNX's own
  std::vector<NodeProto> nodes;
  std::vector<ValueInfo> inputs;  // without those that an initialiser gives
  std::vector<ValueInfo> outputs;
  std::map<std::string, Tensor> initializers;
  std::map<std::string, std::string> metadata;

  std::int64_t opset() const;  // of ONNX's own domain; 0 when the file names none
};

// Whether this build can read and write ONNX.
bool available();

// Errors: no such file; not an ONNX model; too many objects; tensors whose type is not supported or whose bytes do not
// fit their shape; external data that is missing, too short or outside of the model's folder.
Model read_model(const std::filesystem::path& path);
// The same from memory; external data is looked for in `folder`. `where` names the model in messages.
Model parse_model(std::span<const std::byte> bytes, const std::filesystem::path& folder, const std::string& where);

// The whole file in memory, as write_model() writes it.
std::vector<std::byte> model_bytes(const Model& model);
void write_model(const Model& model, const std::filesystem::path& path);  // atomically

}  // namespace octet::onnx
