#include "runtime/io/pickle_stream.h"

#include <bit>
#include <charconv>

namespace octet::pickle {
namespace {

void append_utf8(std::string& out, std::uint32_t code) {
  const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | (code >> 6)), put(0x80 | (code & 63));
  } else if (code < 0x10000) {
    put(0xe0 | (code >> 12)), put(0x80 | ((code >> 6) & 63)), put(0x80 | (code & 63));
  } else {
    put(0xf0 | ((code >> 18) & 7)), put(0x80 | ((code >> 12) & 63)), put(0x80 | ((code >> 6) & 63)),
        put(0x80 | (code & 63));
  }
}

// `digits` hexadecimal digits at `at`; false when they are not there.
bool read_hex(std::string_view text, std::size_t at, std::size_t digits, std::uint32_t& code) {
  if (at + digits > text.size()) return false;
  const char* end = text.data() + at + digits;
  return std::from_chars(text.data() + at, end, code, 16).ptr == end;
}

}  // namespace

double Stream::real() {
  std::uint64_t bits = 0;
  for (const char c : take(8)) bits = (bits << 8) | static_cast<unsigned char>(c);
  return std::bit_cast<double>(bits);
}

std::string_view Stream::line() {
  const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + position_, bytes_.size() - position_);
  const std::size_t end = rest.find('\n');
  check(end != std::string_view::npos, "it is cut short");
  position_ += end + 1;
  return rest.substr(0, end);
}

std::int64_t Stream::decimal(std::string_view text) const {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  check(result.ec == std::errc() && result.ptr == end, "a decimal number was expected");
  return value;
}

std::string unescape(std::string_view text) {
  constexpr std::string_view kLetters = "ntr\\'\"ab0fv";
  constexpr char kMeant[] = "\n\t\r\\'\"\a\b\0\f\v";
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '\\' || i + 1 == text.size()) {
      append_utf8(out, static_cast<unsigned char>(c));
      continue;
    }
    const char kind = text[++i];
    const std::size_t digits = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
    std::uint32_t code = 0;
    if (digits != 0 && read_hex(text, i + 1, digits, code)) {
      append_utf8(out, code);
      i += digits;
    } else if (const std::size_t at = kLetters.find(kind); at != std::string_view::npos) {
      out += kMeant[at];
    } else {
      (out += '\\') += kind;
    }
  }
  return out;
}

}  // namespace octet::pickle
