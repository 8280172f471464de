// From the plain structs of onnx_file.h to a file. The same model gives the same bytes: everything is written in the
// structs' order, which for maps is by name.
#include "octet_onnx.pb.h"
#include "runtime/error.h"
#include "runtime/io/onnx_file.h"

namespace octet::onnx {
namespace {

std::int32_t code_of(DType type) {
  using Proto = ::onnx::TensorProto;
  switch (type) {
    case DType::f32:
      return Proto::FLOAT;
    case DType::f16:
      return Proto::FLOAT16;
    case DType::f64:
      return Proto::DOUBLE;
    case DType::s8:
      return Proto::INT8;
    case DType::u8:
      return Proto::UINT8;
    case DType::s16:
      return Proto::INT16;
    case DType::s32:
      return Proto::INT32;
    case DType::s64:
      return Proto::INT64;
  }
  return Proto::UNDEFINED;
}

void write(const std::string& name, const Tensor& from, ::onnx::TensorProto& to) {
  if (!name.empty()) to.set_name(name);
  for (const std::int64_t d : from.shape().dims()) to.add_dims(d);
  to.set_data_type(code_of(from.dtype()));
  to.set_raw_data(from.raw(), from.bytes());
}

void write(const Attribute& from, ::onnx::AttributeProto& to) {
  using Proto = ::onnx::AttributeProto;
  to.set_name(from.name);
  switch (from.kind) {
    case Attribute::Kind::integer:
      to.set_type(Proto::INT), to.set_i(from.i);
      return;
    case Attribute::Kind::real:
      to.set_type(Proto::FLOAT), to.set_f(from.f);
      return;
    case Attribute::Kind::text:
      to.set_type(Proto::STRING), to.set_s(from.s);
      return;
    case Attribute::Kind::tensor:
      to.set_type(Proto::TENSOR), write("", from.t, *to.mutable_t());
      return;
    case Attribute::Kind::integers:
      to.set_type(Proto::INTS);
      for (const std::int64_t v : from.ints) to.add_ints(v);
      return;
    case Attribute::Kind::reals:
      to.set_type(Proto::FLOATS);
      for (const float v : from.floats) to.add_floats(v);
      return;
    case Attribute::Kind::texts:
    case Attribute::Kind::other:
      break;
  }
  fail("attribute '{}': this kind cannot be written", from.name);
}

void write(const ValueInfo& from, ::onnx::ValueInfoProto& to) {
  to.set_name(from.name);
  auto& type = *to.mutable_type()->mutable_tensor_type();
  type.set_elem_type(from.elem_type);
  for (std::size_t i = 0; i < from.dims.size(); ++i) {
    auto& dim = *type.mutable_shape()->add_dim();
    if (from.dims[i] >= 0) {
      dim.set_dim_value(from.dims[i]);
    } else if (i < from.names.size() && !from.names[i].empty()) {
      dim.set_dim_param(from.names[i]);
    }
  }
}

}  // namespace

std::vector<std::byte> model_bytes(const Model& model) {
  ::onnx::ModelProto proto;
  proto.set_ir_version(model.ir_version);
  proto.set_producer_name(model.producer);
  for (const auto& [domain, version] : model.opsets) {
    auto& set = *proto.add_opset_import();
    set.set_domain(domain), set.set_version(version);
  }
  for (const auto& [key, value] : model.metadata) {
    auto& entry = *proto.add_metadata_props();
    entry.set_key(key), entry.set_value(value);
  }
  auto& graph = *proto.mutable_graph();
  graph.set_name(model.graph_name);
  for (const NodeProto& from : model.nodes) {
    auto& to = *graph.add_node();
    if (!from.name.empty()) to.set_name(from.name);
    to.set_op_type(from.op_type);
    if (!from.domain.empty()) to.set_domain(from.domain);
    for (const std::string& input : from.inputs) to.add_input(input);
    for (const std::string& output : from.outputs) to.add_output(output);
    for (const Attribute& attribute : from.attributes) write(attribute, *to.add_attribute());
  }
  for (const auto& [name, tensor] : model.initializers) write(name, tensor, *graph.add_initializer());
  for (const ValueInfo& value : model.inputs) write(value, *graph.add_input());
  for (const ValueInfo& value : model.outputs) write(value, *graph.add_output());
  std::vector<std::byte> bytes(proto.ByteSizeLong());
  require(bytes.size() <= (std::size_t{1} << 31) - 1, "{}: {} bytes; an ONNX file holds at most 2^31", model.graph_name,
          bytes.size());
  require(proto.SerializeToArray(bytes.data(), static_cast<int>(bytes.size())), "{}: could not be written as ONNX",
          model.graph_name);
  return bytes;
}

}  // namespace octet::onnx
