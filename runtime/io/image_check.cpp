#include "runtime/io/image_check.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "runtime/io/image.h"

namespace octet {
namespace {

constexpr std::string_view kCut = "the image is cut short";

std::uint32_t little_endian(std::span<const std::byte> bytes, std::size_t at, int size) {
  std::uint32_t value = 0;
  for (int i = size; i-- > 0;)
    value = (value << 8) | std::to_integer<std::uint32_t>(bytes[at + static_cast<std::size_t>(i)]);
  return value;
}

// Rows are padded to 4 bytes; only uncompressed bitmaps are decoded at all.
bool bmp_is_complete(std::span<const std::byte> bytes) {
  if (bytes.size() < 30) return false;
  const bool core = little_endian(bytes, 14, 4) == 12;  // BITMAPCOREHEADER: 16-bit sizes
  const std::uint64_t start = little_endian(bytes, 10, 4);
  const std::uint64_t width = core ? little_endian(bytes, 18, 2) : little_endian(bytes, 18, 4);
  const std::int64_t signed_height = static_cast<std::int32_t>(little_endian(bytes, 22, 4));  // negative: top row first
  const auto height =
      core ? std::uint64_t{little_endian(bytes, 20, 2)} : static_cast<std::uint64_t>(std::abs(signed_height));
  const std::uint64_t bits = core ? little_endian(bytes, 24, 2) : little_endian(bytes, 28, 2);
  if (width > kMaxImageSide || height > kMaxImageSide || width * height > kMaxImagePixels)
    return true;  // refused later
  return start + (width * bits + 31) / 32 * 4 * height <= bytes.size();
}

// The tables of one DHT segment: a class and number, 16 counts of codes by length, then a symbol for every code.
bool huffman_tables_fit(std::span<const std::byte> segment) {
  while (!segment.empty()) {
    if (segment.size() < 17) return false;
    std::size_t codes = 0;
    for (const std::byte count : segment.subspan(1, 16)) codes += std::to_integer<std::size_t>(count);
    if (codes > 256 || segment.size() < 17 + codes) return false;
    segment = segment.subspan(17 + codes);
  }
  return true;
}

// Visits every marker from the start of the file to the end marker, the way stb_image does: segments are skipped by
// their length; in entropy-coded data the next marker is 0xff followed by neither 0 nor a restart marker.
std::string_view jpeg_flaw(std::span<const std::byte> bytes) {
  constexpr int kEnd = 0xd9, kHuffman = 0xc4;
  std::size_t at = 2;
  while (at < bytes.size()) {
    const void* found = std::memchr(bytes.data() + at, 0xff, bytes.size() - at);
    if (found == nullptr) return kCut;
    at = static_cast<std::size_t>(static_cast<const std::byte*>(found) - bytes.data()) + 1;
    if (at >= bytes.size()) return kCut;
    const int marker = std::to_integer<int>(bytes[at]);
    if (marker == 0xff) continue;  // a fill byte
    ++at;
    if (marker == kEnd) return "";
    const bool has_length = marker > 0x01 && (marker < 0xd0 || marker > 0xd8);
    if (!has_length) continue;
    if (at + 2 > bytes.size()) return kCut;
    const std::size_t length =
        std::to_integer<std::size_t>(bytes[at]) << 8 | std::to_integer<std::size_t>(bytes[at + 1]);
    if (length < 2) return "a JPEG segment has no length";
    if (at + length > bytes.size()) return kCut;
    if (marker == kHuffman && !huffman_tables_fit(bytes.subspan(at + 2, length - 2)))
      return "a JPEG Huffman table is broken";
    at += length;
  }
  return kCut;
}

}  // namespace

ImageFormat image_format(std::span<const std::byte> bytes) {
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), 8));
  if (start.starts_with("\xff\xd8\xff")) return ImageFormat::jpeg;
  if (start == "\x89PNG\r\n\x1a\n") return ImageFormat::png;
  if (start.starts_with("BM")) return ImageFormat::bmp;
  return ImageFormat::none;
}

std::string_view image_flaw(ImageFormat format, std::span<const std::byte> bytes) {
  if (format == ImageFormat::jpeg) return jpeg_flaw(bytes);
  if (format == ImageFormat::bmp) return bmp_is_complete(bytes) ? "" : kCut;
  return "";
}

}  // namespace octet
