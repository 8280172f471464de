// Photos: what is read, what is refused, crops by fragment, folders. Samples: tests/goldens/make_images.py.
#include "runtime/io/image.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "tests/io_image_samples.h"
#include "tests/io_support.h"

using namespace octet;
using namespace octet::test;

namespace {

Bytes sample(std::string_view name) {
  for (const auto& s : samples::kSamples) {
    if (name == s.name) return Bytes(s.file.begin(), s.file.end());
  }
  FAIL("no such sample");
  return {};
}

Image decode(const Bytes& bytes) { return decode_image(bytes, "x.jpg"); }

template <class T>
void put(Bytes& bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
}

// A bitmap of one bit a pixel: 10,000 x 10,000 is 12.5 MB.
Bytes bitmap(std::int32_t width, std::int32_t height, bool with_pixels = true) {
  const std::size_t rows =
      with_pixels ? (static_cast<std::size_t>(width) + 31) / 32 * 4 * static_cast<std::size_t>(height) : 0;
  Bytes bytes(62 + rows, std::byte{0xa5});
  std::fill_n(bytes.begin(), 62, std::byte{0});
  put(bytes, 0, std::uint16_t{0x4d42});
  put(bytes, 10, std::uint32_t{62});
  put(bytes, 14, std::uint32_t{40});
  put(bytes, 18, width);
  put(bytes, 22, height);
  put(bytes, 26, std::uint16_t{1});
  put(bytes, 28, std::uint16_t{1});
  put(bytes, 46, std::uint32_t{2});
  put(bytes, 58, std::uint32_t{0x00c08040});  // colour 1: red c0, green 80, blue 40
  return bytes;
}

std::string names_of(const std::vector<std::filesystem::path>& paths, const std::filesystem::path& folder) {
  std::string names;
  for (const auto& path : paths) names += path.lexically_relative(folder).string() + " ";
  return names;
}

}  // namespace

TEST_CASE("every kind of image reads as Pillow's convert('RGB')") {
  for (const auto& s : samples::kSamples) {
    const std::string name = s.name;
    INFO(name);
    const Image image = decode(sample(name));
    CHECK(image.width == samples::kWidth);
    CHECK(image.height == samples::kHeight);
    REQUIRE(image.pixels.shape() == Shape{samples::kHeight, samples::kWidth, 3});
    const auto got = image.pixels.span<std::uint8_t>();
    REQUIRE(got.size() == s.rgb.size());
    int largest = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      largest = std::max(largest, std::abs(got[i] - std::to_integer<int>(s.rgb[i])));
    }
    INFO("largest difference ", largest);
    // JPEG decoders may round differently: a step in each of the inverse DCT, the chroma and the colour conversion.
    const int allowed = name == "jpeg_subsampled" ? 6 : name.starts_with("jpeg") ? 3 : 0;
    CHECK(largest <= allowed);
  }
}

TEST_CASE("sizes: one pixel and a hundred million load, more is refused before decoding") {
  const Image one = decode(bitmap(1, 1));
  CHECK(one.width == 1);
  CHECK(one.pixels.span<std::uint8_t>()[0] == 0xc0);
  CHECK(one.pixels.span<std::uint8_t>()[2] == 0x40);
  {
    const Image large = decode(bitmap(10000, 10000));
    CHECK(large.pixels.bytes() == 300'000'000);
    CHECK(large.pixels.span<std::uint8_t>()[299'999'999] == 0x40);
  }
  check_error([] { decode(bitmap(10001, 10000, false)); },
              "x.jpg: an image of 10001x10000, at most 16384 a side and 100 million pixels");
  check_error([] { decode(bitmap(1 << 30, 1, false)); }, "x.jpg: ");
  check_error([] { decode(bitmap(20000, 1, false)); }, "x.jpg: ");
  check_error([] { decode(bitmap(0, 5, false)); }, "x.jpg: ");
  check_error([] { decode(bitmap(-5, 5, false)); }, "x.jpg: ");
}

TEST_CASE("a PNG that inflates without end is stopped by the size in its header") {
  // 1x1 pixel, and an IDAT of 51 million zeros.
  Bytes png = sample("png_grey");
  put(png, 19, std::uint8_t{1});  // width
  put(png, 23, std::uint8_t{1});  // height
  Bytes zlib = bytes_of("\x78\x01");
  const Bytes zeros = deflated_zeros(200'000);
  zlib.insert(zlib.end(), zeros.begin(), zeros.end());
  zlib.resize(zlib.size() + 4);
  Bytes bomb(png.begin(), png.begin() + 33);
  const std::size_t at = bomb.size();
  bomb.resize(at + 8);
  for (int i = 0; i < 4; ++i)
    bomb[at + static_cast<std::size_t>(i)] = static_cast<std::byte>(zlib.size() >> (24 - 8 * i));
  std::memcpy(bomb.data() + at + 4, "IDAT", 4);
  bomb.insert(bomb.end(), zlib.begin(), zlib.end());
  const Bytes end = bytes_of(std::string_view("\0\0\0\0\0\0\0\0IEND\0\0\0\0", 16));
  bomb.insert(bomb.end(), end.begin(), end.end());
  check_error([&] { decode(bomb); }, "x.jpg: broken image data (outofmem)");
}

TEST_CASE("what is no image, or half of one") {
  const TemporaryFolder folder;
  const auto text = folder.put("cat.jpg", std::string_view("This is not a cat.\n"));
  check_error([&] { load_image(text); },
              "not a JPEG, PNG or BMP image: " + text.string() + " (starts with \"This is not a ca\")");
  check_error([&] { decode(bytes_of(std::string_view("GIF89a\x01\0\x01\0", 10))); },
              "(starts with 47 49 46 38 39 61 01 00)");
  check_error([&] { load_image(folder / "missing.png"); }, "no such file: ");
  check_error([&] { load_image(folder.path()); }, "is a folder");
  check_error([&] { load_image(folder.put("empty.png", std::string_view())); }, "empty.png is empty");
  check_error([&] { decode(bytes_of("\xff\xd8\xff and no more")); }, "x.jpg: ");
  for (const auto& s : samples::kSamples) {
    const std::string name = s.name;
    INFO(name);
    Bytes bytes = sample(name);
    if (name.starts_with("png"))
      bytes.resize(bytes.size() - 4);  // the check sum of the empty end chunk is not looked at
    if (name == "bmp_rgb" || name == "bmp_palette" || name == "bmp_bits" || name.starts_with("jpeg")) {
      Bytes cut(bytes.begin(), bytes.end() - 1);
      check_error([&] { decode(cut); }, "x.jpg: the image is cut short (file of ");
    }
    check_every_cut(bytes, [](const Bytes& cut) { decode(cut); });
  }
}

TEST_CASE("a JPEG with an overfull Huffman table does not reach the decoder") {
  // stb_image 2.27 writes behind its arrays (CVE-2022-28042): a table of 16 x 255 codes, and one of 257.
  for (const int count : {255, 241}) {
    Bytes jpeg = bytes_of("\xff\xd8\xff\xc4");
    jpeg.resize(jpeg.size() + 3);
    for (int i = 0; i < 16; ++i) jpeg.push_back(static_cast<std::byte>(count == 255 || i == 15 ? count : 1));
    if (count == 241) jpeg[jpeg.size() - 2] = std::byte{2};
    jpeg.resize(4 + 2 + 17 + (count == 255 ? 16 * 255 : 257), std::byte{1});
    jpeg[4] = static_cast<std::byte>((jpeg.size() - 4) >> 8);
    jpeg[5] = static_cast<std::byte>(jpeg.size() - 4);
    jpeg.push_back(std::byte{0xff});
    jpeg.push_back(std::byte{0xd9});
    check_error([&] { decode(jpeg); }, "x.jpg: a JPEG Huffman table is broken");
  }
}

TEST_CASE("a media fragment crops") {
  const TemporaryFolder folder;
  const auto path = folder.put("dogs.png", sample("png_rgb")).string();
  const Image whole = load_image(path);
  const auto pixel = [](const Image& image, int x, int y) {
    return image.pixels.span<std::uint8_t>()[static_cast<std::size_t>(y * image.width + x) * 3];
  };
  const Image part = load_image(path + "#xywh=2,1,4,3");
  CHECK(part.width == 4);
  CHECK(part.height == 3);
  CHECK(pixel(part, 0, 0) == pixel(whole, 2, 1));
  CHECK(pixel(part, 3, 2) == pixel(whole, 5, 3));
  CHECK(load_image(path + "#xywh=pixel:0,0,7,5").width == 7);
  // Quarters of 7x5 fit together: the edges are rounded, not the sizes.
  const Image left = load_image(path + "#xywh=percent:0,0,50,50");
  const Image right = load_image(path + "#xywh=percent:50,50,50,50");
  CHECK(left.width + right.width == 7);
  CHECK(left.height + right.height == 5);
  CHECK(pixel(right, 0, 0) == pixel(whole, left.width, left.height));
  CHECK(load_image(path + "#xywh=percent:0,0,99.9,100").width == 7);

  check_error([&] { load_image(path + "#xywh=4,0,4,5"); },
              "dogs.png#xywh=4,0,4,5: the crop 4x5 at 4,0 reaches outside the image of 7x5");
  check_error([&] { load_image(path + "#xywh=0,0,0,5"); }, "an empty crop: 0x5 at 0,0");
  check_error([&] { load_image(path + "#xywh=percent:60,0,50,50"); }, "reaches outside");
  for (const char* bad : {"", "1,2,3", "1,2,3,4,", "1,2,3,4,5", "a,b,c,d", "-1,0,2,2", "1.5,0,2,2", "1,2,3,1e3",
                          "inch:1,2,3,4", "percent:nan,0,1,1", "99999999999,0,1,1", " 1,2,3,4"}) {
    check_error([&] { load_image(path + "#xywh=" + bad); },
                "expected #xywh=X,Y,W,H in pixels or #xywh=percent:X,Y,W,H");
  }
  check_error([&] { load_image((folder / "cats.png").string() + "#xywh=0,0,1,1"); }, "cats.png");
  // A file of the literal name wins.
  folder.put("dogs.png#xywh=0,0,1,1", sample("png_rgb"));
  CHECK(load_image(path + "#xywh=0,0,1,1").width == 7);
}

TEST_CASE("crop copies") {
  const Image whole = decode(sample("png_rgb"));
  const std::uint8_t before = whole.pixels.span<std::uint8_t>()[0];
  Image part = crop(whole, 0, 0, 7, 5);
  part.pixels.span<std::uint8_t>()[0] ^= 255;
  CHECK(whole.pixels.span<std::uint8_t>()[0] == before);
  check_error([&] { crop(whole, -1, 0, 2, 2); }, "reaches outside");
  check_error([&] { crop(whole, 2147483647, 0, 2147483647, 2); }, "reaches outside");
  check_error([&] { crop(whole, 0, 4, 2, 2); }, "reaches outside the image of 7x5");
}

TEST_CASE("folders: sorted bytewise by relative path") {
  const TemporaryFolder folder;
  check_error([&] { list_images(folder / "missing"); }, "no such folder: ");
  check_error([&] { list_images(folder.path()); }, "no photos (.jpg, .jpeg, .png, .bmp) below ");
  folder.put("notes.txt", std::string_view("x"));
  check_error([&] { list_images(folder / "notes.txt"); }, "is a file, a folder of photos was expected");
  for (const char* name :
       {"b.JPG", "a/2.png", "a/10.png", "a.jpeg", "a-b/1.bmp", "Z.jpg", "\xc3\xa9.jpg", "a/note.md", "gif.gif"}) {
    folder.put(name, std::string_view("x"));
  }
  std::filesystem::create_directory(folder / "folder.jpg");
  CHECK(names_of(list_images(folder.path()), folder.path()) ==
        "Z.jpg a-b/1.bmp a.jpeg a/10.png a/2.png b.JPG \xc3\xa9.jpg ");
  CHECK(names_of(list_images(folder / "a/"), folder / "a/") == "10.png 2.png ");
  CHECK(is_image_name("x/dogs.jpg#xywh=percent:0,0,50,50"));
  CHECK(is_image_name("cat.PnG"));
  CHECK_FALSE(is_image_name("cat.jpg.txt"));
  CHECK_FALSE(is_image_name("jpg"));
}

TEST_CASE("mutated images: only Error comes out") {
  std::uint64_t seed = 300;
  for (const auto& s : samples::kSamples) {
    const std::string name = s.name;
    INFO(name);
    fuzz(sample(name), seed++, 700, [](const Bytes& bytes) { decode(bytes); });
  }
}
