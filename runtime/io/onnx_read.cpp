// From protobuf's messages to the plain structs of onnx_file.h.
#include <limits>

#include "octet_onnx.pb.h"
#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/io/onnx_file.h"
#include "runtime/io/onnx_scan.h"
#include "runtime/io/onnx_tensor.h"

namespace octet::onnx {
namespace {

std::string domain_of(const std::string& domain) { return domain == "ai.onnx" ? "" : domain; }

template <class Repeated>
auto list(const Repeated& values) {
  return std::vector<typename Repeated::value_type>(values.begin(), values.end());
}

Attribute attribute_of(const ::onnx::AttributeProto& from, const TensorReader& tensors) {
  using Proto = ::onnx::AttributeProto;
  Attribute to{.name = from.name()};
  switch (from.type()) {
    case Proto::INT:
      to.kind = Attribute::Kind::integer, to.i = from.i();
      break;
    case Proto::FLOAT:
      to.kind = Attribute::Kind::real, to.f = from.f();
      break;
    case Proto::STRING:
      to.kind = Attribute::Kind::text, to.s = from.s();
      break;
    case Proto::TENSOR:
      to.kind = Attribute::Kind::tensor, to.t = tensors.read(from.t());
      break;
    case Proto::INTS:
      to.kind = Attribute::Kind::integers, to.ints = list(from.ints());
      break;
    case Proto::FLOATS:
      to.kind = Attribute::Kind::reals, to.floats = list(from.floats());
      break;
    case Proto::STRINGS:
      to.kind = Attribute::Kind::texts;
      break;
    default:
      break;  // whoever needs it says that it is not supported
  }
  return to;
}

NodeProto node_of(const ::onnx::NodeProto& from, const TensorReader& tensors) {
  NodeProto to;
  to.name = from.name(), to.op_type = from.op_type(), to.domain = domain_of(from.domain());
  to.inputs = list(from.input()), to.outputs = list(from.output());
  for (const auto& attribute : from.attribute()) to.attributes.push_back(attribute_of(attribute, tensors));
  return to;
}

ValueInfo value_of(const ::onnx::ValueInfoProto& from) {
  ValueInfo to{.name = from.name()};
  if (!from.type().has_tensor_type()) return to;
  const auto& type = from.type().tensor_type();
  to.elem_type = type.elem_type();
  to.has_shape = type.has_shape();
  for (const auto& dim : type.shape().dim()) {
    const bool fixed = dim.has_dim_value() && dim.dim_value() >= 0;
    to.dims.push_back(fixed ? dim.dim_value() : -1);
    to.names.push_back(dim.has_dim_param() ? dim.dim_param() : "");
  }
  return to;
}

}  // namespace

bool available() { return true; }

Model parse_model(std::span<const std::byte> bytes, const std::filesystem::path& folder, const std::string& where) {
  require(bytes.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max()),
          "{}: {} bytes; an ONNX file holds at most 2^31 (larger networks keep their weights in external data)", where,
          bytes.size());
  scan(bytes, where);
  ::onnx::ModelProto proto;
  require(proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())),
          "{}: not an ONNX model: it starts with {}", where, describe_start(bytes));
  require(proto.has_graph(), "{}: not an ONNX model: it holds no graph", where);
  require(proto.functions_size() == 0, "{}: holds {} functions of its own; only plain graphs are supported", where,
          proto.functions_size());
  const ::onnx::GraphProto& graph = proto.graph();
  require(graph.sparse_initializer_size() == 0, "{}: holds sparse tensors, which are not supported", where);

  Model model;
  model.ir_version = proto.ir_version();
  model.producer = proto.producer_name(), model.graph_name = graph.name();
  for (const auto& set : proto.opset_import()) model.opsets[domain_of(set.domain())] = set.version();
  for (const auto& entry : proto.metadata_props()) model.metadata[entry.key()] = entry.value();
  const TensorReader tensors(folder, where);
  for (const auto& tensor : graph.initializer()) {
    const bool fresh = model.initializers.emplace(tensor.name(), tensors.read(tensor)).second;
    require(fresh, "{}: two initialisers are named '{}'", where, printable(tensor.name()));
  }
  for (const auto& node : graph.node()) model.nodes.push_back(node_of(node, tensors));
  for (const auto& value : graph.input()) {
    if (!model.initializers.contains(value.name())) model.inputs.push_back(value_of(value));
  }
  for (const auto& value : graph.output()) model.outputs.push_back(value_of(value));
  return model;
}

}  // namespace octet::onnx
