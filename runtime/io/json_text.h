// JSON values in messages. json::dump() recurses: a hostile file's deeply nested list would overflow the stack, so
// lists and objects are only named. For .cpp files that include nlohmann/json.hpp anyway.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "runtime/io/file.h"

namespace octet {

// A value as a message shows it: short, on one line.
inline std::string json_text(const nlohmann::json& value) {
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  return printable(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace octet
