#include "runtime/io/safetensors_header.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "runtime/error.h"
#include "runtime/io/file.h"

namespace octet {
namespace {

using Json = nlohmann::ordered_json;

// {"__metadata__": {"k": "v"}, "NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
//  ^ file                      ^ entry                          ^ list
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  HeaderReader(SafetensorsHeader& header, const std::string& file) : header_(header), file_(file) {}

  bool key(std::string& text) override {
    if (level_ == Level::file) {
      require(names_.insert(text).second, "{}: the tensor '{}' appears twice", file_, printable(text));
      if (text != kMetadata) header_.entries.push_back({.name = text});
      seen_ = 0;
    }
    key_ = std::move(text);
    if (level_ == Level::entry) mark_field();
    if (level_ == Level::metadata) {
      require(!header_.metadata.contains(key_), "{}: the metadata '{}' appears twice", file_, printable(key_));
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (level_ == Level::start) {
      level_ = Level::file;
    } else if (level_ == Level::file) {
      level_ = key_ == kMetadata ? Level::metadata : Level::entry;
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool end_object() override {
    if (level_ == Level::entry) {
      require(seen_ == (kDtype | kShape | kOffsets), "{}: tensor '{}' lacks dtype, shape or data_offsets", file_,
              tensor());
    }
    level_ = level_ == Level::file ? Level::start : Level::file;
    return true;
  }

  bool start_array(std::size_t) override {
    if (level_ != Level::entry || key_ == "dtype") unexpected("a list");
    level_ = Level::list;
    count_ = 0;
    return true;
  }

  bool end_array() override {
    require(key_ != "data_offsets" || count_ == 2, "{}: tensor '{}': data_offsets has {} numbers instead of 2", file_,
            tensor(), count_);
    level_ = Level::entry;
    return true;
  }

  bool number_unsigned(std::uint64_t value) override {
    if (level_ != Level::list) unexpected("a number");
    SafetensorsEntry& entry = header_.entries.back();
    if (key_ == "shape") {
      require(count_ < Shape::kMaxRank, "{}: tensor '{}' has more than {} dimensions", file_, tensor(),
              Shape::kMaxRank);
      require(value <= static_cast<std::uint64_t>(Shape::kMaxElements),
              "{}: tensor '{}': the dimension {} is too large", file_, tensor(), value);
      entry.dims.push_back(static_cast<std::int64_t>(value));
    } else {
      (count_ == 0 ? entry.begin : entry.end) = value;
      require(count_ < 2, "{}: tensor '{}': data_offsets has more than 2 numbers", file_, tensor());
    }
    ++count_;
    return true;
  }

  bool string(std::string& text) override {
    if (level_ == Level::metadata) {
      header_.metadata.emplace(key_, std::move(text));
    } else if (level_ == Level::entry && key_ == "dtype") {
      header_.entries.back().dtype = std::move(text);
    } else {
      unexpected("a string");
    }
    return true;
  }

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool number_integer(std::int64_t) override { return unexpected("a negative number"); }
  bool number_float(double, const std::string&) override {
    return unexpected("a number with a fraction or an exponent");
  }
  bool binary(Json::binary_t&) override { return unexpected("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail("{}: the safetensors header is not JSON (error at its byte {})", file_, position);
  }

 private:
  enum class Level { start, file, metadata, entry, list };
  enum Field { kDtype = 1, kShape = 2, kOffsets = 4 };
  static constexpr std::string_view kMetadata = "__metadata__";

  std::string tensor() const { return header_.entries.empty() ? "" : printable(header_.entries.back().name); }

  void mark_field() {
    const int field = key_ == "dtype" ? kDtype : key_ == "shape" ? kShape : key_ == "data_offsets" ? kOffsets : 0;
    require(field != 0, "{}: tensor '{}' has the unknown field '{}'", file_, tensor(), printable(key_));
    require((seen_ & field) == 0, "{}: tensor '{}' has the field '{}' twice", file_, tensor(), key_);
    seen_ |= field;
  }

  [[noreturn]] bool unexpected(std::string_view what) const {
    if (level_ == Level::start) fail("{}: the safetensors header is {}, an object was expected", file_, what);
    fail("{}: the safetensors header has {} at '{}', where the format has none", file_, what, printable(key_));
  }

  SafetensorsHeader& header_;
  const std::string& file_;
  Level level_ = Level::start;
  std::string key_;
  int seen_ = 0;   // fields of the entry so far
  int count_ = 0;  // numbers of the list so far
  std::unordered_set<std::string> names_;
};

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view json, const std::string& name) {
  SafetensorsHeader header;
  HeaderReader reader(header, name);
  Json::sax_parse(json.begin(), json.end(), &reader);
  return header;
}

std::string write_safetensors_header(const SafetensorsHeader& header) {
  Json json = Json::object();
  if (!header.metadata.empty()) json["__metadata__"] = header.metadata;
  for (const SafetensorsEntry& entry : header.entries) {
    json.push_back(
        {entry.name, {{"dtype", entry.dtype}, {"shape", entry.dims}, {"data_offsets", {entry.begin, entry.end}}}});
  }
  try {
    return json.dump();
  } catch (const nlohmann::json::exception&) {
    fail("a tensor's name or the metadata is not UTF-8, safetensors needs it to be");
  }
}

}  // namespace octet
