// The bytes of a pickle, read with bounds checks. Internal to runtime/io.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "runtime/error.h"

namespace octet::pickle {

class Stream {
 public:
  Stream(std::span<const std::byte> bytes, std::size_t begin, const std::string& name)
      : bytes_(bytes), position_(begin), name_(name) {}

  std::size_t position() const { return position_; }

  std::string_view take(std::uint64_t count) {
    check(count <= bytes_.size() - position_, "it is cut short");
    const auto* start = reinterpret_cast<const char*>(bytes_.data()) + position_;
    position_ += static_cast<std::size_t>(count);
    return {start, static_cast<std::size_t>(count)};
  }
  // Little-endian, `size` bytes.
  std::uint64_t number(int size) {
    std::uint64_t value = 0;
    int shift = 0;
    for (const char c : take(static_cast<unsigned>(size))) {
      value |= std::uint64_t{static_cast<unsigned char>(c)} << shift;
      shift += 8;
    }
    return value;
  }
  double real();            // 8 bytes, big-endian
  std::string_view line();  // up to a line feed, which is consumed and not returned
  std::int64_t decimal(std::string_view text) const;

  void check(bool condition, std::string_view what) const {
    require(condition, "{}: broken pickle at byte {}: {}", name_, position_, what);
  }

 private:
  std::span<const std::byte> bytes_;
  std::size_t position_;
  const std::string& name_;
};

// Protocol 0 text: the escapes of a Python string literal (\\ \' \n \x41 ...), and \u0041 \U00000041. Bytes from 0x80
// on are Latin-1. Gives UTF-8.
std::string unescape(std::string_view text);

}  // namespace octet::pickle
