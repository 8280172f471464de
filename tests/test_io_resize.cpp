// Resizing against Pillow: tests/goldens/resize.json, made by tests/goldens/make_resize.py.
#include <doctest/doctest.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "runtime/hash.h"
#include "runtime/io/resize.h"
#include "tests/io_support.h"

using namespace octet;
using namespace octet::test;

namespace {

Image blank(int width, int height) { return {width, height, Tensor(DType::u8, {height, width, 3})}; }

Image noise(int width, int height, std::uint64_t state) {
  Image image = blank(width, height);
  for (std::uint8_t& byte : image.pixels.span<std::uint8_t>()) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<std::uint8_t>(state >> 56);
  }
  return image;
}

Image gradient(int width, int height) {
  Image image = blank(width, height);
  auto* out = image.pixels.span<std::uint8_t>().data();
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      *out++ = static_cast<std::uint8_t>(x * 255 / std::max(width - 1, 1));
      *out++ = static_cast<std::uint8_t>(y * 255 / std::max(height - 1, 1));
      *out++ = static_cast<std::uint8_t>((x + y) * 255 / std::max(width + height - 2, 1));
    }
  }
  return image;
}

std::string hash_of(const Image& image) { return hex(fnv1a({image.pixels.raw(), image.pixels.bytes()})); }

void compare_with_goldens(const std::string& file, Passes passes) {
  const auto goldens = nlohmann::json::parse(read_text_file(golden(file), 10'000'000));
  int equal = 0;
  for (const auto& c : goldens["cases"]) {
    const int width = c["width"], height = c["height"];
    const Image source = c["source"] == "noise" ? noise(width, height, c["seed"]) : gradient(width, height);
    const Filter filter = c["filter"] == "bicubic" ? Filter::bicubic : Filter::bilinear;
    const Image result = resize(source, c["to_width"], c["to_height"], filter, passes);
    INFO(c.dump());
    CHECK(result.width == c["to_width"]);
    CHECK(result.height == c["to_height"]);
    CHECK(result.pixels.shape() == Shape{result.height, result.width, 3});
    CHECK(hash_of(result) == c["hash"]);
    equal += hash_of(result) == c["hash"];
  }
  MESSAGE(equal, " of ", goldens["cases"].size(), " equal to Pillow ", goldens["pillow"].get<std::string>());
}

}  // namespace

TEST_CASE("resize equals Pillow up to 12 byte for byte") {
  compare_with_goldens("resize.json", Passes::horizontal_first);
}

TEST_CASE("resize equals Pillow 13 byte for byte where that starts with the vertical pass") {
  compare_with_goldens("resize_pillow13.json", Passes::pillow13);
}

TEST_CASE("resize never returns the memory of its source") {
  const Image source = noise(8, 8, 1);
  Image same = resize(source, 8, 8);
  same.pixels.span<std::uint8_t>()[0] ^= 255;
  CHECK(source.pixels.span<std::uint8_t>()[0] != same.pixels.span<std::uint8_t>()[0]);
}

TEST_CASE("a constant image stays constant") {
  Image source = blank(61, 45);
  for (const int value : {0, 1, 127, 254, 255}) {
    for (std::uint8_t& byte : source.pixels.span<std::uint8_t>()) byte = static_cast<std::uint8_t>(value);
    for (const Filter filter : {Filter::bicubic, Filter::bilinear}) {
      for (const int size : {1, 7, 45, 224}) {
        const Image result = resize(source, size, size, filter);
        for (const std::uint8_t byte : result.pixels.span<std::uint8_t>()) REQUIRE(byte == value);
      }
    }
  }
}

TEST_CASE("ImageNet helpers round as torchvision does") {
  CHECK(resize_shorter_side(blank(500, 375), 256).width == 341);  // 256 * 500 / 375 = 341.33
  CHECK(resize_shorter_side(blank(375, 500), 256).height == 341);
  CHECK(resize_shorter_side(blank(400, 600), 255).height == 382);  // 382.5 is cut
  CHECK(resize_shorter_side(blank(256, 300), 256).height == 300);
  const Image wide = noise(20, 10, 5);
  const auto first_pixel = [](const Image& image) { return image.pixels.span<std::uint8_t>()[0]; };
  const auto at = [&wide](int x, int y) {
    return wide.pixels.span<std::uint8_t>()[static_cast<std::size_t>(y * 20 + x) * 3];
  };
  CHECK(first_pixel(centre_crop(wide, 10, 10)) == at(5, 0));
  CHECK(first_pixel(centre_crop(wide, 19, 9)) == at(0, 0));  // 0.5 -> 0
  CHECK(first_pixel(centre_crop(wide, 17, 7)) == at(2, 2));  // 1.5 -> 2
  CHECK(first_pixel(centre_crop(wide, 15, 5)) == at(2, 2));  // 2.5 -> 2
  check_error([&] { centre_crop(wide, 21, 10); }, "cannot crop 21x10 out of the middle of an image of 20x10");
}

TEST_CASE("bad sizes are refused") {
  const Image image = noise(4, 4, 1);
  check_error([&] { resize(image, 0, 4); }, "cannot resize to 0x4");
  check_error([&] { resize(image, 4, -1); }, "cannot resize to 4x-1");
  check_error([&] { resize(image, 100000, 4); }, "cannot resize to 100000x4");
  check_error([&] { resize(Image{}, 4, 4); }, "empty image");
  check_error([&] { resize_shorter_side(noise(16000, 1, 1), 64); }, "shorter side of 64");
  check_error([&] { resize_shorter_side(Image{}, 64); }, "empty image");
}

TEST_CASE("speed of the common resize (shown, not judged)") {
  const Image source = noise(500, 375, 9);
  double best = 1e9;
  for (int i = 0; i < 10; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const Image result = resize(source, 224, 224);
    best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    CHECK(result.width == 224);
  }
  MESSAGE("500x375 -> 224x224 bicubic: ", best, " ms");
}
