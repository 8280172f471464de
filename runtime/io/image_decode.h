// The one place where stb_image is called. Internal to runtime/io.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace octet {

struct DecodedPixels {
  int width = 0, height = 0;
  std::shared_ptr<unsigned char> rgb;  // height x width x 3
};

// From the header alone; false with the decoder's `reason` when that is broken.
bool read_image_size(std::span<const std::byte> bytes, int& width, int& height, std::string& reason);

// Decodes to RGB; rgb is null, with the `reason`, when the data is broken. No allocation within exceeds what an image
// of the size in the header can need, whatever a compressed stream inside expands to.
DecodedPixels decode_pixels(std::span<const std::byte> bytes, std::string& reason);

}  // namespace octet
