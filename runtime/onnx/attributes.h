// A node's attributes, read by name and type; one that nobody read is refused, since its effect would be lost.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "runtime/io/onnx_file.h"

namespace octet::onnx {

class Attributes {
 public:
  explicit Attributes(const NodeProto& node) : node_(node) {}

  bool has(const char* name) const { return node_.find(name) != nullptr; }
  std::int64_t integer(const char* name, std::int64_t otherwise);
  float real(const char* name, float otherwise);
  std::string text(const char* name, const std::string& otherwise);
  std::vector<std::int64_t> integers(const char* name, std::vector<std::int64_t> otherwise);
  // An attribute that changes nothing here.
  void ignore(const char* name) { read_.insert(name); }
  // Throws Error unless the attribute has this value (or is absent).
  void expect(const char* name, std::int64_t value);
  // Throws Error naming an attribute that was not read.
  void finish() const;

 private:
  const Attribute* take(const char* name, Attribute::Kind kind);

  const NodeProto& node_;
  std::set<std::string, std::less<>> read_;
};

}  // namespace octet::onnx
