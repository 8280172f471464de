#include "runtime/io/safetensors.h"

#include <algorithm>
#include <cstring>

#include "runtime/error.h"
#include "runtime/io/element_bytes.h"
#include "runtime/io/file.h"
#include "runtime/io/safetensors_header.h"

namespace octet {
namespace {

constexpr std::uint64_t kMaxHeader = 100'000'000;  // the format's own limit
constexpr std::size_t kPrefix = 8;
constexpr std::size_t kDataAlignment = 64;

struct FileType {
  const char* name;
  DType type;  // what it becomes
  int size;    // bytes of one element in the file
};
constexpr FileType kTypes[] = {{"F32", DType::f32, 4}, {"F16", DType::f16, 2}, {"BF16", DType::f32, 2},
                               {"F64", DType::f64, 8}, {"I8", DType::s8, 1},   {"U8", DType::u8, 1},
                               {"BOOL", DType::u8, 1}, {"I32", DType::s32, 4}, {"I64", DType::s64, 8}};

const FileType& type_of(const SafetensorsEntry& entry, const std::string& file) {
  for (const FileType& type : kTypes) {
    if (entry.dtype == type.name) return type;
  }
  fail("{}: tensor '{}' has the dtype '{}', expected F32, F16, BF16, F64, I8, U8, BOOL, I32 or I64", file,
       printable(entry.name), printable(entry.dtype));
}

Shape shape_of(const SafetensorsEntry& entry, const std::string& file) {
  try {
    return Shape(std::span<const std::int64_t>(entry.dims));
  } catch (const Error& error) {
    fail("{}: tensor '{}': {}", file, printable(entry.name), error.what());
  }
}

std::string_view header_text(std::span<const std::byte> bytes, const std::string& name) {
  require(bytes.size() >= kPrefix, "{}: {} bytes are too few for a safetensors file", name, bytes.size());
  std::uint64_t length;
  std::memcpy(&length, bytes.data(), kPrefix);
  require(length <= kMaxHeader,
          "{}: not a safetensors file, or a damaged one: its header claims {} bytes, at most {} are allowed", name,
          length, kMaxHeader);
  require(length <= bytes.size() - kPrefix,
          "{}: the safetensors header claims {} bytes, the file has {} after its start", name, length,
          bytes.size() - kPrefix);
  return {reinterpret_cast<const char*>(bytes.data()) + kPrefix, static_cast<std::size_t>(length)};
}

void check_place(const SafetensorsEntry& entry, std::uint64_t expected_begin, std::size_t data_size,
                 const std::string& file) {
  require(entry.begin <= entry.end && entry.end <= data_size,
          "{}: tensor '{}' lies at bytes {} to {}, the file has {} bytes of data", file, printable(entry.name),
          entry.begin, entry.end, data_size);
  require(entry.begin == expected_begin,
          "{}: tensor '{}' starts at byte {}, expected {}: tensors overlap or leave a gap", file, printable(entry.name),
          entry.begin, expected_begin);
}

const char* name_for_writing(DType type) {
  for (const FileType& candidate : kTypes) {
    if (candidate.type == type) return candidate.name;  // the first of a type is the one without conversion
  }
  return "?";
}

std::vector<const StateDict::Entry*> in_writing_order(const StateDict& tensors) {
  std::vector<const StateDict::Entry*> order;
  for (const StateDict::Entry& entry : tensors) order.push_back(&entry);
  std::ranges::sort(order, [](const auto* a, const auto* b) {
    const int size_a = size_of(a->tensor.dtype());
    const int size_b = size_of(b->tensor.dtype());
    return size_a != size_b ? size_a > size_b : a->name < b->name;
  });
  return order;
}

}  // namespace

SafetensorsFile parse_safetensors(std::span<const std::byte> bytes, const std::string& name,
                                  std::shared_ptr<const void> keep) {
  const std::string_view json = header_text(bytes, name);
  SafetensorsHeader header = parse_safetensors_header(json, name);
  const auto data = bytes.subspan(kPrefix + json.size());
  std::ranges::stable_sort(header.entries, {}, [](const SafetensorsEntry& e) { return std::pair(e.begin, e.end); });

  SafetensorsFile file;
  file.metadata = std::move(header.metadata);
  std::uint64_t expected_begin = 0;
  for (SafetensorsEntry& entry : header.entries) {
    const FileType& type = type_of(entry, name);
    const Shape shape = shape_of(entry, name);
    check_place(entry, expected_begin, data.size(), name);
    const std::uint64_t size = static_cast<std::uint64_t>(shape.elements()) * static_cast<unsigned>(type.size);
    require(entry.end - entry.begin == size, "{}: tensor '{}' ({} {}) has {} bytes, expected {}", name,
            printable(entry.name), entry.dtype, shape.str(), entry.end - entry.begin, size);
    expected_begin = entry.end;
    file.tensors.insert(std::move(entry.name),
                        tensor_from_bytes(type.type, type.size, shape, data.subspan(entry.begin, size), keep));
  }
  require(expected_begin == data.size(), "{}: {} bytes after the last tensor", name, data.size() - expected_begin);
  return file;
}

SafetensorsFile read_safetensors(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  return parse_safetensors(file->bytes(), path.string(), file);
}

std::vector<std::byte> safetensors_bytes(const StateDict& tensors, const Metadata& metadata) {
  const auto order = in_writing_order(tensors);
  SafetensorsHeader header{.entries = {}, .metadata = metadata};
  std::uint64_t offset = 0;
  for (const StateDict::Entry* entry : order) {
    require(!entry->tensor.empty(), "safetensors: the tensor '{}' is empty", printable(entry->name));
    require(entry->name != "__metadata__", "safetensors: '__metadata__' cannot name a tensor");
    const auto dims = entry->tensor.shape().dims();
    const std::uint64_t end = offset + entry->tensor.bytes();
    header.entries.push_back(
        {entry->name, name_for_writing(entry->tensor.dtype()), {dims.begin(), dims.end()}, offset, end});
    offset = end;
  }
  std::string json = write_safetensors_header(header);
  json.append((kDataAlignment - (kPrefix + json.size()) % kDataAlignment) % kDataAlignment, ' ');
  require(json.size() <= kMaxHeader, "safetensors: the header would have {} bytes", json.size());
  std::vector<std::byte> bytes(kPrefix + json.size() + offset);
  std::byte* to = bytes.data();
  const auto append = [&to](const void* from, std::size_t size) {
    if (size != 0) std::memcpy(to, from, size);
    to += size;
  };
  const std::uint64_t length = json.size();
  append(&length, kPrefix);
  append(json.data(), json.size());
  for (const StateDict::Entry* entry : order) append(entry->tensor.raw(), entry->tensor.bytes());
  return bytes;
}

void write_safetensors(const std::filesystem::path& path, const StateDict& tensors, const Metadata& metadata) {
  write_file_atomically(path, safetensors_bytes(tensors, metadata));
}

}  // namespace octet
