#include "runtime/io/png.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "runtime/error.h"

namespace octet {
namespace {

constexpr int kMostPixels = 16384;           // a side
constexpr std::size_t kMostOfBlock = 65535;  // bytes of a stored block

class Bytes {
 public:
  void byte(unsigned value) { bytes_.push_back(static_cast<std::byte>(value & 255)); }
  void big(std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) byte(value >> shift);
  }
  void little16(unsigned value) { byte(value), byte(value >> 8); }
  void text(std::string_view s) {
    for (const char c : s) byte(static_cast<unsigned char>(c));
  }
  void append(std::span<const std::byte> other) { bytes_.insert(bytes_.end(), other.begin(), other.end()); }
  std::vector<std::byte>& all() { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

// CRC-32 of ISO 3309, as PNG's annex D writes it.
std::uint32_t crc32(std::span<const std::byte> bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t n = 0; n < 256; ++n) {
      std::uint32_t c = n;
      for (int k = 0; k < 8; ++k) c = (c & 1) != 0 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
      t[n] = c;
    }
    return t;
  }();
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const std::byte b : bytes) crc = table[(crc ^ std::to_integer<std::uint32_t>(b)) & 255] ^ (crc >> 8);
  return ~crc;
}

std::uint32_t adler32(std::span<const std::byte> bytes) {
  std::uint32_t a = 1, b = 0;
  for (const std::byte byte : bytes) a = (a + std::to_integer<std::uint32_t>(byte)) % 65521, b = (b + a) % 65521;
  return b << 16 | a;
}

void chunk(Bytes& file, std::string_view name, std::span<const std::byte> content) {
  Bytes body;
  body.text(name);
  body.append(content);
  file.big(static_cast<std::uint32_t>(content.size()));
  file.append(body.all());
  file.big(crc32(body.all()));
}

// zlib's form (RFC 1950) around stored blocks (RFC 1951, 3.2.4).
Bytes stored(std::span<const std::byte> data) {
  Bytes z;
  z.byte(0x78), z.byte(0x01);
  for (std::size_t at = 0; at < data.size(); at += kMostOfBlock) {
    const std::size_t size = std::min(kMostOfBlock, data.size() - at);
    z.byte(at + size == data.size() ? 1 : 0);
    z.little16(static_cast<unsigned>(size)), z.little16(~static_cast<unsigned>(size));
    z.append(data.subspan(at, size));
  }
  z.big(adler32(data));
  return z;
}

}  // namespace

std::vector<std::byte> png_bytes(int width, int height, std::span<const std::uint8_t> rgb) {
  require(width > 0 && height > 0 && width <= kMostPixels && height <= kMostPixels, "a picture of {} x {} pixels",
          width, height);
  const std::size_t row = static_cast<std::size_t>(width) * 3;
  require(rgb.size() == row * static_cast<std::size_t>(height), "{} bytes for a picture of {} x {}", rgb.size(), width,
          height);
  Bytes lines;  // each begins with the number of its filter: none
  for (std::size_t y = 0; y < static_cast<std::size_t>(height); ++y) {
    lines.byte(0);
    lines.append(std::as_bytes(rgb.subspan(y * row, row)));
  }
  Bytes file, header;
  file.text("\x89PNG\r\n\x1a\n");
  header.big(static_cast<std::uint32_t>(width)), header.big(static_cast<std::uint32_t>(height));
  header.byte(8), header.byte(2), header.byte(0), header.byte(0), header.byte(0);  // 8 bits, RGB
  chunk(file, "IHDR", header.all());
  chunk(file, "IDAT", stored(lines.all()).all());
  chunk(file, "IEND", {});
  return std::move(file.all());
}

}  // namespace octet
