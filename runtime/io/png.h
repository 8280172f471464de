// PNG files, written: 8-bit RGB, without compression (deflate's stored blocks), so that no library is needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace octet {

// `rgb`: height rows of width pixels of 3 bytes. Throws Error when that is not its size, or a side is 0 or above 16384.
std::vector<std::byte> png_bytes(int width, int height, std::span<const std::uint8_t> rgb);

}  // namespace octet
