// Photos: JPEG, PNG and BMP as 8-bit RGB.
//
// Converted as Pillow's convert("RGB") does: grey is repeated, a palette is looked up, alpha is dropped (not blended).
// Of 16 bits the upper 8 are kept (Pillow the same for colour, but it clips 16-bit grey at 255, which turns photos
// white). CMYK JPEGs are multiplied out as Adobe's inverted CMYK. The EXIF orientation is ignored, as Pillow's open
// ignores it.
//
// PNG and BMP are exact. JPEG decoders differ: stb_image and libjpeg give pixels a few steps apart, because they round
// the inverse DCT and interpolate chroma differently.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "runtime/tensor.h"

namespace octet {

struct Image {  // rows from the top
  int width = 0;
  int height = 0;
  Tensor pixels;  // u8, height x width x 3, RGB
};

// Above these a file is refused before anything is decoded: 100 million pixels are 300 MB.
constexpr int kMaxImageSide = 16384;
constexpr std::int64_t kMaxImagePixels = 100'000'000;

// `path` may end in a W3C media fragment that crops after decoding, unless a file has that literal name:
//     dogs.jpg#xywh=10,20,100,80           left, top, width, height in pixels
//     dogs.jpg#xywh=percent:0,0,50,50      in percent of the image; edges are rounded to the nearest pixel
// Errors, one line: no such file, not a JPEG, PNG or BMP (with its first bytes), too large, cut short, broken, a
// fragment that is malformed or reaches outside the image.
Image load_image(const std::filesystem::path& path);

// The same from memory, without a fragment; `name` stands for the path in messages.
Image decode_image(std::span<const std::byte> bytes, const std::string& name);

// A copy of the rectangle; throws Error when it is empty or reaches outside the image.
Image crop(const Image& image, int x, int y, int width, int height);

// .jpg, .jpeg, .png or .bmp in any case, before a media fragment if there is one.
bool is_image_name(const std::filesystem::path& path);

// All photos (by name) below `folder`, each as folder / relative path, sorted bytewise by the relative path. Links to
// files are followed, links to folders are not. Errors: no such folder, not a folder, not readable, no photos in it.
std::vector<std::filesystem::path> list_images(const std::filesystem::path& folder);

}  // namespace octet
