#include "runtime/io/onnx_tensor.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include "runtime/error.h"

namespace octet::onnx {
namespace {

using Proto = ::onnx::TensorProto;

std::optional<DType> type_of(std::int32_t type) {
  switch (type) {
    case Proto::FLOAT:
      return DType::f32;
    case Proto::DOUBLE:
      return DType::f64;
    case Proto::FLOAT16:
      return DType::f16;
    case Proto::INT8:
      return DType::s8;
    case Proto::UINT8:
    case Proto::BOOL:
      return DType::u8;
    case Proto::INT16:
      return DType::s16;
    case Proto::INT32:
      return DType::s32;
    case Proto::INT64:
      return DType::s64;
    default:
      return std::nullopt;
  }
}

// Types of at most 32 bits that are not float are stored as a list of int32, one a value.
template <class To, class List>
Tensor narrowed(const List& values, DType type, const Shape& shape) {
  Tensor tensor(type, shape);
  auto* to = reinterpret_cast<To*>(tensor.raw());
  for (const auto value : values) *to++ = static_cast<To>(value);
  return tensor;
}

std::uint64_t number(const std::string& text, const std::string& what) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  require(error == std::errc() && end == text.data() + text.size() && value < (std::uint64_t{1} << 62),
          "{}: '{}' is not a number of bytes", what, printable(text));
  return value;
}

}  // namespace

Tensor TensorReader::read(const Proto& proto) const {
  const std::string what = fmt::format("{}: tensor '{}'", where_, printable(proto.name()));
  const auto type = type_of(proto.data_type());
  require(type.has_value(), "{}: the element type {} is not supported", what, proto.data_type());
  require(!proto.has_segment(), "{}: stored in segments, which is not supported", what);
  Shape shape;
  try {
    const std::vector<std::int64_t> dims(proto.dims().begin(), proto.dims().end());
    shape = Shape(dims);
  } catch (const Error& e) {
    fail("{}: {}", what, e.what());
  }
  const auto wanted = static_cast<std::uint64_t>(shape.elements());
  if (proto.data_location() == Proto::EXTERNAL) return external(proto, *type, shape);
  if (proto.has_raw_data()) {
    const std::uint64_t bytes = wanted * static_cast<std::uint64_t>(size_of(*type));
    require(proto.raw_data().size() == bytes, "{}: a shape of {} takes {} bytes, {} are there", what, shape.str(),
            bytes, proto.raw_data().size());
    Tensor tensor(*type, shape);
    std::memcpy(tensor.raw(), proto.raw_data().data(), bytes);
    return tensor;
  }
  const auto listed = [&](const auto& list) -> const auto& {
    require(static_cast<std::uint64_t>(list.size()) == wanted, "{}: a shape of {} takes {} values, {} are there", what,
            shape.str(), wanted, list.size());
    return list;
  };
  switch (*type) {
    case DType::f32:
      return narrowed<float>(listed(proto.float_data()), *type, shape);
    case DType::f64:
      return narrowed<double>(listed(proto.double_data()), *type, shape);
    case DType::s64:
      return narrowed<std::int64_t>(listed(proto.int64_data()), *type, shape);
    case DType::s32:
      return narrowed<std::int32_t>(listed(proto.int32_data()), *type, shape);
    case DType::f16:
      return narrowed<std::uint16_t>(listed(proto.int32_data()), *type, shape);
    case DType::s16:
      return narrowed<std::int16_t>(listed(proto.int32_data()), *type, shape);
    case DType::s8:
      return narrowed<std::int8_t>(listed(proto.int32_data()), *type, shape);
    case DType::u8:
      return narrowed<std::uint8_t>(listed(proto.int32_data()), *type, shape);
  }
  fail("{}: the element type {} is not supported", what, proto.data_type());
}

Tensor TensorReader::external(const Proto& proto, DType type, const Shape& shape) const {
  const std::string what = fmt::format("{}: tensor '{}'", where_, printable(proto.name()));
  std::string location;
  std::uint64_t offset = 0;
  const std::uint64_t bytes = static_cast<std::uint64_t>(shape.elements()) * static_cast<std::uint64_t>(size_of(type));
  std::uint64_t length = bytes;
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") offset = number(entry.value(), what + ": offset");
    if (entry.key() == "length") length = number(entry.value(), what + ": length");
  }
  require(length == bytes, "{}: a shape of {} takes {} bytes, its external data has {}", what, shape.str(), bytes,
          length);
  // The name is a stranger's: it may not leave the model's folder, not even through a symbolic link.
  const std::filesystem::path name(location);
  const bool plain = !location.empty() && location.find('\0') == std::string::npos && name.is_relative() &&
                     std::ranges::none_of(name, [](const auto& part) { return part == ".."; });
  require(plain, "{}: external data '{}': a path inside of the model's folder was expected", what, printable(location));
  auto& file = files_[location];
  if (file == nullptr) {
    const std::filesystem::path folder = folder_.empty() ? "." : folder_;
    std::error_code error;
    const auto real_folder = std::filesystem::canonical(folder, error);
    const auto real = std::filesystem::canonical(folder / name, error);
    require(!error, "{}: external data '{}' does not exist beside the model", what, printable(location));
    const auto inside = std::mismatch(real_folder.begin(), real_folder.end(), real.begin(), real.end());
    require(inside.first == real_folder.end(), "{}: external data '{}' leads out of the model's folder", what,
            printable(location));
    file = MappedFile::open(real);
  }
  const std::uint64_t size = file->bytes().size();
  require(offset <= size && bytes <= size - offset,
          "{}: external data '{}' has {} bytes, {} from byte {} were expected", what, printable(location), size, bytes,
          offset);
  Tensor tensor(type, shape);  // a copy: offsets need not be aligned
  std::memcpy(tensor.raw(), file->bytes().data() + offset, bytes);
  return tensor;
}

}  // namespace octet::onnx
