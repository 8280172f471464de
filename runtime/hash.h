// FNV-1a, 64 bits: the hash of --hash-layers, of the goldens and of golden photos. Not for untrusted keys: collisions
// are easy to make. One byte a step, so about 1 GB/s; the order of the bytes is all that counts, not how they were
// split.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace octet {

class Fnv1a {  // add() takes the bytes in any portions, value() is the hash so far
 public:
  static constexpr std::uint64_t kOffset = 0xcbf29ce484222325u;
  static constexpr std::uint64_t kPrime = 0x100000001b3u;

  constexpr Fnv1a& add(std::uint8_t byte) {  // returns itself
    value_ = (value_ ^ byte) * kPrime;
    return *this;
  }
  constexpr Fnv1a& add(std::string_view text) {  // likewise
    for (const char c : text) add(static_cast<std::uint8_t>(c));
    return *this;
  }
  constexpr Fnv1a& add(std::span<const std::byte> bytes) {  // likewise
    for (const std::byte b : bytes) add(static_cast<std::uint8_t>(b));
    return *this;
  }
  constexpr std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = kOffset;
};

// All at once.
constexpr std::uint64_t fnv1a(std::span<const std::byte> bytes) { return Fnv1a().add(bytes).value(); }
constexpr std::uint64_t fnv1a(std::string_view text) { return Fnv1a().add(text).value(); }

// Sixteen lower-case hexadecimal digits, as tables and JSON show a hash.
inline std::string hex(std::uint64_t value) {
  std::string text(16, '0');
  for (int i = 15; i >= 0; --i, value >>= 4) text[static_cast<std::size_t>(i)] = "0123456789abcdef"[value & 15];
  return text;
}

}  // namespace octet
