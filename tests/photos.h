// Photos that tests make: BMP from a function of the pixel, PNG of one colour at any size.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

namespace octet::testing {

using Colour = std::array<std::uint8_t, 3>;  // R, G, B
using Painter = std::function<Colour(int x, int y)>;

// Little-endian bytes of a number.
inline std::string le(std::uint32_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

inline std::string be32(std::uint32_t value) {
  const std::string text = le(value, 4);
  return {text.rbegin(), text.rend()};
}

// 24 bits a pixel, rows from the bottom, each padded to four bytes.
inline void write_bmp(const std::filesystem::path& path, int width, int height, const Painter& paint) {
  std::string pixels;
  for (int y = height - 1; y >= 0; --y) {
    for (int x = 0; x < width; ++x) {
      const Colour c = paint(x, y);
      pixels += {static_cast<char>(c[2]), static_cast<char>(c[1]), static_cast<char>(c[0])};
    }
    while (pixels.size() % 4 != 0) pixels += '\0';
  }
  constexpr std::uint32_t kHeader = 14 + 40;
  const auto size = static_cast<std::uint32_t>(pixels.size());
  std::string file = "BM" + le(kHeader + size, 4) + le(0, 4) + le(kHeader, 4);
  file += le(40, 4) + le(static_cast<std::uint32_t>(width), 4) + le(static_cast<std::uint32_t>(height), 4);
  file += le(1, 2) + le(24, 2) + le(0, 4) + le(size, 4) + le(2835, 4) + le(2835, 4) + le(0, 4) + le(0, 4);
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << file + pixels;
}

// A photo-like picture: smooth colours, an edge and some noise, different for every seed.
inline Painter scene(std::uint32_t seed) {
  return [seed](int x, int y) {
    std::uint32_t noise = (static_cast<std::uint32_t>(x) * 73856093u) ^ (static_cast<std::uint32_t>(y) * 19349663u);
    noise = (noise ^ (seed * 83492791u)) * 2654435761u;
    const auto grain = static_cast<int>(noise >> 27);
    const int disc = (x - 90) * (x - 90) + (y - 70) * (y - 70) < 2500 + static_cast<int>(seed % 7) * 300 ? 90 : 0;
    const auto s = static_cast<int>(seed);
    return Colour{static_cast<std::uint8_t>((x + s * 37) % 160 + grain + disc / 2),
                  static_cast<std::uint8_t>((y * 2 + s * 11) % 130 + grain + disc),
                  static_cast<std::uint8_t>((x + y + s * 53) % 190 + grain)};
  };
}

inline void write_photo(const std::filesystem::path& path, std::uint32_t seed) {
  write_bmp(path, 180, 150, scene(seed));
}

inline std::uint32_t crc32(const std::string& text) {
  std::uint32_t crc = ~0u;
  for (const char c : text) {
    crc ^= static_cast<std::uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
  }
  return ~crc;
}

// A zlib stream of `count` zero bytes: one literal 0, then repeats of 258 and of less, in deflate's fixed code.
inline std::string zlib_zeros(std::uint64_t count) {
  std::string stream = "\x78\x01";
  std::uint32_t pending = 0;
  int bits = 0;
  const auto put = [&](std::uint32_t value, int n) {  // least significant bit first
    pending |= value << bits;
    for (bits += n; bits >= 8; bits -= 8, pending >>= 8) stream += static_cast<char>(pending);
  };
  const auto put_code = [&](std::uint32_t code, int n) {  // Huffman codes: most significant bit first
    for (int i = n - 1; i >= 0; --i) put(code >> i & 1, 1);
  };
  put(1, 1), put(1, 2);                                 // last block, fixed code
  for (; count % 258 != 1; --count) put_code(0x30, 8);  // literals until what is left is 1 + a multiple of 258
  put_code(0x30, 8);
  for (--count; count > 0; count -= 258) put_code(0xc5, 8), put_code(0, 5);  // length 258, distance 1
  put_code(0, 7);
  put(0, 7);
  return stream;
}

// Black, 8-bit RGB. A 10,000 x 10,000 one is 1.9 MB.
inline void write_black_png(const std::filesystem::path& path, std::uint32_t width, std::uint32_t height) {
  const std::uint64_t raw = std::uint64_t{height} * (std::uint64_t{width} * 3 + 1);
  const std::string adler = be32(static_cast<std::uint32_t>(raw % 65521) << 16 | 1);
  const auto chunk = [](const std::string& type, const std::string& data) {
    return be32(static_cast<std::uint32_t>(data.size())) + type + data + be32(crc32(type + data));
  };
  const std::string header = be32(width) + be32(height) + std::string("\x08\x02\x00\x00\x00", 5);
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) +
                                               chunk("IDAT", zlib_zeros(raw) + adler) + chunk("IEND", "");
}

}  // namespace octet::testing
