// What onnx_file.h offers with and without protobuf.
#include "runtime/io/onnx_file.h"

#include <algorithm>

#include "runtime/error.h"
#include "runtime/io/file.h"

namespace octet::onnx {

const Attribute* NodeProto::find(std::string_view attribute) const {
  const auto found = std::ranges::find(attributes, attribute, &Attribute::name);
  return found == attributes.end() ? nullptr : &*found;
}

std::string NodeProto::str() const {
  const std::string& known = !name.empty() ? name : outputs.empty() ? name : outputs[0];
  return fmt::format("{}{}{} '{}'", printable(domain), domain.empty() ? "" : ".", printable(op_type), printable(known));
}

std::int64_t Model::opset() const {
  const auto found = opsets.find("");
  return found == opsets.end() ? 0 : found->second;
}

Model read_model(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  return parse_model(file->bytes(), path.parent_path(), path.string());
}

void write_model(const Model& model, const std::filesystem::path& path) {
  write_file_atomically(path, model_bytes(model));
}

#ifndef OCTET_WITH_ONNX

bool available() { return false; }

Model parse_model(std::span<const std::byte>, const std::filesystem::path&, const std::string& where) {
  fail("{}: this Octet was built without ONNX: libonnx-dev, libprotobuf-dev and protobuf-compiler were missing", where);
}

std::vector<std::byte> model_bytes(const Model& model) {
  fail("{}: this Octet was built without ONNX: libonnx-dev, libprotobuf-dev and protobuf-compiler were missing",
       model.graph_name);
}

#endif

}  // namespace octet::onnx
