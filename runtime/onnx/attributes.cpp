#include "runtime/onnx/attributes.h"

#include "runtime/error.h"
#include "runtime/io/file.h"

namespace octet::onnx {

const Attribute* Attributes::take(const char* name, Attribute::Kind kind) {
  read_.insert(name);
  const Attribute* found = node_.find(name);
  require(found == nullptr || found->kind == kind, "{}: its attribute '{}' is of another type than its operator says",
          node_.str(), name);
  return found;
}

std::int64_t Attributes::integer(const char* name, std::int64_t otherwise) {
  const Attribute* found = take(name, Attribute::Kind::integer);
  return found == nullptr ? otherwise : found->i;
}

float Attributes::real(const char* name, float otherwise) {
  const Attribute* found = take(name, Attribute::Kind::real);
  return found == nullptr ? otherwise : found->f;
}

std::string Attributes::text(const char* name, const std::string& otherwise) {
  const Attribute* found = take(name, Attribute::Kind::text);
  return found == nullptr ? otherwise : found->s;
}

std::vector<std::int64_t> Attributes::integers(const char* name, std::vector<std::int64_t> otherwise) {
  const Attribute* found = take(name, Attribute::Kind::integers);
  return found == nullptr ? std::move(otherwise) : found->ints;
}

void Attributes::expect(const char* name, std::int64_t value) {
  const std::int64_t given = integer(name, value);
  require(given == value, "{}: {} = {} is not supported, only {}", node_.str(), name, given, value);
}

void Attributes::finish() const {
  for (const Attribute& attribute : node_.attributes) {
    require(read_.contains(attribute.name), "{}: the attribute '{}' is not supported", node_.str(),
            printable(attribute.name));
  }
}

}  // namespace octet::onnx
