#include "runtime/io/image_decode.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "runtime/io/image.h"

namespace {

// The most that one allocation of stb_image may take on this thread: a PNG can hold a zip bomb.
thread_local std::size_t allocation_limit = 0;

void* limited_malloc(std::size_t size) { return size <= allocation_limit ? std::malloc(size) : nullptr; }
void* limited_realloc(void* old, std::size_t size) {
  return size <= allocation_limit ? std::realloc(old, size) : nullptr;
}

// stb_image copies nothing from nowhere now and then, which memcpy does not allow.
void lenient_memcpy(void* to, const void* from, std::size_t size) {
  if (size != 0) std::memcpy(to, from, size);
}

}  // namespace

#define STBI_MALLOC(size) limited_malloc(size)
#define STBI_REALLOC(old, size) limited_realloc(old, size)
#define STBI_FREE(memory) std::free(memory)
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 16384
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#define memcpy lenient_memcpy
#include <stb/stb_image.h>
#undef memcpy
#pragma GCC diagnostic pop

static_assert(STBI_MAX_DIMENSIONS == octet::kMaxImageSide);

namespace octet {
namespace {

constexpr std::size_t kWorkBytes = std::size_t{1} << 20;  // decoder state and tables

const unsigned char* data_of(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

std::string last_reason() {
  const char* reason = stbi_failure_reason();
  return reason != nullptr ? reason : "unknown reason";
}

}  // namespace

bool read_image_size(std::span<const std::byte> bytes, int& width, int& height, std::string& reason) {
  allocation_limit = kWorkBytes;
  int channels = 0;
  if (stbi_info_from_memory(data_of(bytes), static_cast<int>(bytes.size()), &width, &height, &channels) == 1)
    return true;
  reason = last_reason();
  return false;
}

DecodedPixels decode_pixels(std::span<const std::byte> bytes, std::string& reason) {
  DecodedPixels decoded;
  if (!read_image_size(bytes, decoded.width, decoded.height, reason)) return {};
  // 16-bit RGBA has 8 bytes a pixel; JPEG planes are padded to whole blocks, at most 64 pixels; stb doubles its
  // buffers.
  allocation_limit =
      kWorkBytes + 2 * 8 * static_cast<std::size_t>(decoded.width + 64) * static_cast<std::size_t>(decoded.height + 64);
  int channels = 0;
  unsigned char* pixels = stbi_load_from_memory(data_of(bytes), static_cast<int>(bytes.size()), &decoded.width,
                                                &decoded.height, &channels, 3);
  if (pixels == nullptr) {
    reason = last_reason();
    return {};
  }
  decoded.rgb = std::shared_ptr<unsigned char>(pixels, [](unsigned char* memory) { std::free(memory); });
  return decoded;
}

}  // namespace octet
