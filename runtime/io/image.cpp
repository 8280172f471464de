#include "runtime/io/image.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>

#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/io/image_check.h"
#include "runtime/io/image_decode.h"

namespace octet {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxImageFile = std::uint64_t{1} << 30;
constexpr std::string_view kFragment = "#xywh=";

struct Fragment {
  bool percent = false;
  std::array<double, 4> xywh{};
};

// Where a name ends and its fragment begins; npos without one.
std::size_t fragment_start(std::string_view path) { return path.rfind(kFragment); }

Fragment parse_fragment(std::string_view text, const std::string& path) {
  Fragment fragment;
  const auto starts = [&text](std::string_view unit) {
    const bool found = text.starts_with(unit);
    if (found) text.remove_prefix(unit.size());
    return found;
  };
  fragment.percent = starts("percent:");
  if (!fragment.percent) starts("pixel:");
  const char* at = text.data();
  const char* end = at + text.size();
  bool good = true;
  for (std::size_t i = 0; i < 4 && good; ++i) {
    const auto result = std::from_chars(at, end, fragment.xywh[i], std::chars_format::fixed);
    const bool whole = fragment.percent || fragment.xywh[i] == std::floor(fragment.xywh[i]);
    good = result.ec == std::errc() && fragment.xywh[i] >= 0 && fragment.xywh[i] <= 1e6 && whole;
    at = result.ptr;
    if (good && i < 3) good = at != end && *at++ == ',';
  }
  require(good && at == end, "bad crop in {}: expected #xywh=X,Y,W,H in pixels or #xywh=percent:X,Y,W,H", path);
  return fragment;
}

Image crop_to(const Image& image, const Fragment& fragment, const std::string& path) {
  const auto [x, y, w, h] = fragment.xywh;
  const double scale_x = fragment.percent ? image.width / 100.0 : 1.0;
  const double scale_y = fragment.percent ? image.height / 100.0 : 1.0;
  const int left = static_cast<int>(std::lround(x * scale_x));
  const int top = static_cast<int>(std::lround(y * scale_y));
  const int right = static_cast<int>(std::lround((x + w) * scale_x));
  const int bottom = static_cast<int>(std::lround((y + h) * scale_y));
  try {
    return crop(image, left, top, right - left, bottom - top);
  } catch (const Error& error) {
    fail("{}: {}", path, error.what());
  }
}

Image load_file(const fs::path& path) {
  const std::vector<std::byte> bytes = read_file(path, kMaxImageFile);
  return decode_image(bytes, path.string());
}

}  // namespace

Image decode_image(std::span<const std::byte> bytes, const std::string& name) {
  const ImageFormat format = image_format(bytes);
  require(format != ImageFormat::none, "not a JPEG, PNG or BMP image: {} (starts with {})", name,
          describe_start(bytes));
  require(bytes.size() <= kMaxImageFile, "{}: an image file of {} bytes, at most {} are allowed", name, bytes.size(),
          kMaxImageFile);
  const std::string_view flaw = image_flaw(format, bytes);
  require(flaw.empty(), "{}: {} (file of {} bytes)", name, flaw, bytes.size());
  int width = 0;
  int height = 0;
  std::string reason;
  const bool known = read_image_size(bytes, width, height, reason);
  require(known, "{}: broken image header ({})", name, reason);
  require(width > 0 && height > 0 && width <= kMaxImageSide && height <= kMaxImageSide &&
              std::int64_t{width} * height <= kMaxImagePixels,
          "{}: an image of {}x{}, at most {} a side and {} million pixels are allowed", name, width, height,
          kMaxImageSide, kMaxImagePixels / 1'000'000);
  const DecodedPixels decoded = decode_pixels(bytes, reason);
  require(decoded.rgb != nullptr, "{}: broken image data ({})", name, reason);
  void* data = decoded.rgb.get();
  return {decoded.width, decoded.height, Tensor(DType::u8, {decoded.height, decoded.width, 3}, data, decoded.rgb)};
}

Image load_image(const fs::path& path) {
  const std::string text = path.string();
  const std::size_t start = fragment_start(text);
  std::error_code ignored;
  if (start == std::string::npos || fs::exists(path, ignored)) return load_file(path);
  const Fragment fragment = parse_fragment(std::string_view(text).substr(start + kFragment.size()), text);
  return crop_to(load_file(text.substr(0, start)), fragment, text);
}

Image crop(const Image& image, int x, int y, int width, int height) {
  require(width > 0 && height > 0, "an empty crop: {}x{} at {},{}", width, height, x, y);
  require(x >= 0 && y >= 0 && width <= image.width - x && height <= image.height - y,
          "the crop {}x{} at {},{} reaches outside the image of {}x{}", width, height, x, y, image.width, image.height);
  Image result{width, height, Tensor(DType::u8, {height, width, 3})};
  const std::byte* from = image.pixels.raw() + (static_cast<std::ptrdiff_t>(y) * image.width + x) * 3;
  std::byte* to = result.pixels.raw();
  const std::size_t row = static_cast<std::size_t>(width) * 3;
  for (int i = 0; i < height; ++i, from += static_cast<std::ptrdiff_t>(image.width) * 3, to += row)
    std::memcpy(to, from, row);
  return result;
}

bool is_image_name(const fs::path& path) {
  std::string text = path.string();
  if (const std::size_t start = fragment_start(text); start != std::string::npos) text.resize(start);
  std::string extension = fs::path(text).extension().string();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png" || extension == ".bmp";
}

std::vector<fs::path> list_images(const fs::path& folder) {
  std::error_code error;
  require(fs::exists(folder, error), "no such folder: {}", folder.string());
  require(fs::is_directory(folder, error), "{} is a file, a folder of photos was expected", folder.string());
  std::vector<std::string> names;
  fs::recursive_directory_iterator at(folder, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::error_code ignored;
    if (!is_image_name(at->path()) || !at->is_regular_file(ignored)) continue;
    names.push_back(at->path().lexically_relative(folder).generic_string());
  }
  require(!error, "cannot read the folder {}: {}", folder.string(), error.message());
  require(!names.empty(), "no photos (.jpg, .jpeg, .png, .bmp) below {}", folder.string());
  std::ranges::sort(names);
  std::vector<fs::path> paths;
  for (const std::string& name : names) paths.push_back(folder / name);
  return paths;
}

}  // namespace octet
