// The JSON header of a safetensors file, apart from the data. Internal to runtime/io.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/io/safetensors.h"

namespace octet {

struct SafetensorsEntry {
  std::string name{};
  std::string dtype{};  // "F32"
  std::vector<std::int64_t> dims{};
  std::uint64_t begin = 0, end = 0;  // bytes, from the end of the header
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the header's order
  Metadata metadata;
};

// Reads with a fixed-depth state machine: no tree is built, whatever the JSON nests. Throws Error for JSON that is
// broken or not of the format's form; what() starts with `name`. Offsets and dtypes are not judged here.
SafetensorsHeader parse_safetensors_header(std::string_view json, const std::string& name);

std::string write_safetensors_header(const SafetensorsHeader& header);

}  // namespace octet
