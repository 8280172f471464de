// What is checked about an image file before stb_image sees any of it. Internal to runtime/io.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace octet {

enum class ImageFormat { none, jpeg, png, bmp };

// By the first bytes.
ImageFormat image_format(std::span<const std::byte> bytes);

// "" or what is wrong. stb_image reads zeros behind the end of a JPEG or BMP and gives a picture with a grey or black
// part, so the end is looked for here: does a JPEG reach its end marker, has a BMP all its rows? (A PNG that is cut is
// noticed in decoding.) And up to version 2.27, Debian 12's, a JPEG's Huffman table with more than 256 codes makes it
// write outside its arrays (CVE-2022-28042), so that is refused here.
std::string_view image_flaw(ImageFormat format, std::span<const std::byte> bytes);

}  // namespace octet
