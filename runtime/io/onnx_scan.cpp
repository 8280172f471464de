// A walk over protobuf's wire format along the messages that ONNX nests, counting fields. An explicit stack instead of
// recursion: the depth is the file's choice.
#include "runtime/io/onnx_scan.h"

#include <cstdint>
#include <vector>

#include "runtime/error.h"

namespace octet::onnx {
namespace {

constexpr std::int64_t kMaxFields = std::int64_t{1} << 21;
constexpr int kMaxSubgraphs = 16;

// The messages of onnx.proto whose fields are counted. flat: one whose fields hold nothing but text and numbers.
enum class Kind : std::uint8_t {
  leaf,  // not a message: text, bytes, packed numbers
  flat,
  model,
  graph,
  function,
  training,
  node,
  attribute,
  tensor,
  sparse,
  value,
  type,
  sequence,
  map,
  tensor_type,
  shape,
};

struct Nesting {
  Kind parent;
  std::uint32_t field;
  Kind child;
};
constexpr Nesting kNestings[] = {
    {Kind::model, 7, Kind::graph},       {Kind::model, 8, Kind::flat},        {Kind::model, 14, Kind::flat},
    {Kind::model, 20, Kind::training},   {Kind::model, 25, Kind::function},   {Kind::graph, 1, Kind::node},
    {Kind::graph, 5, Kind::tensor},      {Kind::graph, 11, Kind::value},      {Kind::graph, 12, Kind::value},
    {Kind::graph, 13, Kind::value},      {Kind::graph, 14, Kind::flat},       {Kind::graph, 15, Kind::sparse},
    {Kind::function, 7, Kind::node},     {Kind::function, 9, Kind::flat},     {Kind::training, 1, Kind::graph},
    {Kind::training, 2, Kind::graph},    {Kind::training, 3, Kind::flat},     {Kind::training, 4, Kind::flat},
    {Kind::node, 5, Kind::attribute},    {Kind::attribute, 5, Kind::tensor},  {Kind::attribute, 6, Kind::graph},
    {Kind::attribute, 10, Kind::tensor}, {Kind::attribute, 11, Kind::graph},  {Kind::attribute, 14, Kind::type},
    {Kind::attribute, 15, Kind::type},   {Kind::attribute, 22, Kind::sparse}, {Kind::attribute, 23, Kind::sparse},
    {Kind::tensor, 3, Kind::flat},       {Kind::tensor, 13, Kind::flat},      {Kind::sparse, 1, Kind::tensor},
    {Kind::sparse, 2, Kind::tensor},     {Kind::value, 2, Kind::type},        {Kind::type, 1, Kind::tensor_type},
    {Kind::type, 4, Kind::sequence},     {Kind::type, 5, Kind::map},          {Kind::type, 8, Kind::tensor_type},
    {Kind::type, 9, Kind::sequence},     {Kind::sequence, 1, Kind::type},     {Kind::map, 2, Kind::type},
    {Kind::tensor_type, 2, Kind::shape}, {Kind::shape, 1, Kind::flat},
};

// Which message a length-delimited field holds.
Kind child_of(Kind parent, std::uint32_t field) {
  for (const Nesting& n : kNestings) {
    if (n.parent == parent && n.field == field) return n.child;
  }
  return Kind::leaf;
}

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  std::uint64_t varint(std::size_t end) {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      require(at_ < end, "{}: not an ONNX model: it ends in the middle of a number", where_);
      const auto byte = static_cast<std::uint64_t>(bytes_[at_++]);
      if (shift < 64) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail("{}: not an ONNX model: a number of more than ten bytes", where_);
  }
  void skip(std::uint64_t count, std::size_t end) {
    require(count <= end - at_, "{}: not an ONNX model: a field of {} bytes where {} are left", where_, count,
            end - at_);
    at_ += count;
  }
  std::size_t at() const { return at_; }

 private:
  std::span<const std::byte> bytes_;
  const std::string& where_;
  std::size_t at_ = 0;
};

}  // namespace

void scan(std::span<const std::byte> bytes, const std::string& where) {
  struct Open {
    Kind kind;
    std::size_t end;
  };
  std::vector<Open> stack{{Kind::model, bytes.size()}};
  Reader reader(bytes, where);
  std::int64_t fields = 0;
  int graphs = 0;
  while (!stack.empty()) {
    const Open top = stack.back();
    if (reader.at() == top.end) {
      graphs -= top.kind == Kind::graph;
      stack.pop_back();
      continue;
    }
    require(++fields <= kMaxFields, "{}: more than {} fields; no network that Octet runs has as many", where,
            kMaxFields);
    const std::uint64_t tag = reader.varint(top.end);
    const auto field = static_cast<std::uint32_t>(tag >> 3);
    switch (tag & 7) {
      case 0:
        reader.varint(top.end);
        break;
      case 1:
        reader.skip(8, top.end);
        break;
      case 5:
        reader.skip(4, top.end);
        break;
      case 2: {
        const std::uint64_t size = reader.varint(top.end);
        const Kind kind = child_of(top.kind, field);
        if (kind == Kind::leaf) {
          reader.skip(size, top.end);
          break;
        }
        require(size <= top.end - reader.at(), "{}: not an ONNX model: a message of {} bytes where {} are left", where,
                size, top.end - reader.at());
        graphs += kind == Kind::graph;
        require(graphs <= kMaxSubgraphs, "{}: graphs nested more than {} deep", where, kMaxSubgraphs);
        stack.push_back({kind, reader.at() + static_cast<std::size_t>(size)});
        break;
      }
      default:
        fail("{}: not an ONNX model: a field of the unknown wire type {}", where, tag & 7);
    }
  }
}

}  // namespace octet::onnx
