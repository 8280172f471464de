#include "runtime/io/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "runtime/error.h"

namespace octet {
namespace {

// 32 bits, less 8 of the pixel, less 2: sums overshoot 255 with the negative lobes of bicubic.
constexpr int kPrecision = 32 - 8 - 2;
constexpr std::int32_t kHalf = 1 << (kPrecision - 1);

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

double bilinear(double x) {
  x = std::fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

// The weights of one axis. Output i = sum over j < taps[i].count of source[taps[i].first + j] * weights[i * stride +
// j].
struct Axis {
  struct Taps {
    int first, count;
  };
  std::vector<Taps> taps;
  std::vector<std::int32_t> weights;
  std::size_t stride;  // the largest count

  const std::int32_t* row(int i) const { return weights.data() + static_cast<std::size_t>(i) * stride; }
};

// Every expression and its order of evaluation is Pillow's (libImaging/Resample.c): the last bit of a double decides
// some of the rounded weights. Half away from zero, as an int conversion after adding +-0.5 gives.
Axis make_axis(int in_size, int out_size, Filter filter) {
  const double scale = static_cast<double>(in_size) / out_size;
  const double filter_scale = std::max(scale, 1.0);
  const double support = (filter == Filter::bicubic ? 2.0 : 1.0) * filter_scale;
  const double inverse = 1.0 / filter_scale;
  Axis axis;
  axis.stride = static_cast<std::size_t>(std::ceil(support)) * 2 + 1;
  axis.taps.resize(static_cast<std::size_t>(out_size));
  axis.weights.resize(static_cast<std::size_t>(out_size) * axis.stride);
  std::vector<double> weights(axis.stride);
  for (int i = 0; i < out_size; ++i) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int count = std::min(static_cast<int>(centre + support + 0.5), in_size) - first;
    double sum = 0.0;
    for (int j = 0; j < count; ++j) {
      const double x = (j + first - centre + 0.5) * inverse;
      const double weight = filter == Filter::bicubic ? bicubic(x) : bilinear(x);
      weights[static_cast<std::size_t>(j)] = weight;
      sum += weight;
    }
    std::int32_t* fixed = axis.weights.data() + static_cast<std::size_t>(i) * axis.stride;
    for (int j = 0; j < count; ++j) {
      const double weight =
          sum != 0.0 ? weights[static_cast<std::size_t>(j)] / sum : weights[static_cast<std::size_t>(j)];
      fixed[j] = static_cast<std::int32_t>((weight < 0 ? -0.5 : 0.5) + weight * (1 << kPrecision));
    }
    axis.taps[static_cast<std::size_t>(i)] = {first, count};
  }
  return axis;
}

std::uint8_t clip(std::int32_t sum) { return static_cast<std::uint8_t>(std::clamp(sum >> kPrecision, 0, 255)); }

// One row, interleaved RGB.
void resample_row(const Axis& axis, const std::uint8_t* in, std::uint8_t* out) {
  const int width = static_cast<int>(axis.taps.size());
  for (int i = 0; i < width; ++i, out += 3) {
    const auto [first, count] = axis.taps[static_cast<std::size_t>(i)];
    const std::int32_t* weights = axis.row(i);
    const std::uint8_t* pixel = in + static_cast<std::ptrdiff_t>(first) * 3;
    std::int32_t r = kHalf, g = kHalf, b = kHalf;
    for (int j = 0; j < count; ++j, pixel += 3) {
      r += pixel[0] * weights[j];
      g += pixel[1] * weights[j];
      b += pixel[2] * weights[j];
    }
    out[0] = clip(r);
    out[1] = clip(g);
    out[2] = clip(b);
  }
}

// Whole rows at a time, so that the loop over bytes is the inner one. `in` is row `base` of the source.
void resample_column(const Axis& axis, int i, int base, const std::uint8_t* in, std::size_t row_bytes,
                     std::int32_t* __restrict sums, std::uint8_t* __restrict out) {
  const auto [first, count] = axis.taps[static_cast<std::size_t>(i)];
  const std::int32_t* weights = axis.row(i);
  const std::uint8_t* __restrict row = in + static_cast<std::size_t>(first - base) * row_bytes;
  std::fill_n(sums, row_bytes, kHalf);
  for (int j = 0; j < count; ++j, row += row_bytes) {
    const std::int32_t weight = weights[j];
    for (std::size_t k = 0; k < row_bytes; ++k) sums[k] += row[k] * weight;
  }
  for (std::size_t k = 0; k < row_bytes; ++k) out[k] = clip(sums[k]);
}

Image blank(int width, int height) { return {width, height, Tensor(DType::u8, {height, width, 3})}; }

std::uint8_t* row_of(Image& image, int y) {
  return image.pixels.span<std::uint8_t>().data() + static_cast<std::ptrdiff_t>(y) * image.width * 3;
}
const std::uint8_t* row_of(const Image& image, int y) {
  return image.pixels.span<std::uint8_t>().data() + static_cast<std::ptrdiff_t>(y) * image.width * 3;
}

// Rows [first, first + rows) of `image`, resampled to `width`.
Image resample_rows(const Image& image, int width, int first, int rows, Filter filter) {
  const Axis axis = make_axis(image.width, width, filter);
  Image result = blank(width, rows);
  for (int y = 0; y < rows; ++y) resample_row(axis, row_of(image, first + y), row_of(result, y));
  return result;
}

// `image` holds the source's rows from `first` on.
Image resample_columns(const Image& image, const Axis& axis, int first) {
  Image result = blank(image.width, static_cast<int>(axis.taps.size()));
  const std::size_t row_bytes = static_cast<std::size_t>(image.width) * 3;
  std::vector<std::int32_t> sums(row_bytes);
  for (int y = 0; y < result.height; ++y)
    resample_column(axis, y, first, row_of(image, 0), row_bytes, sums.data(), row_of(result, y));
  return result;
}

}  // namespace

Image resize(const Image& image, int width, int height, Filter filter, Passes passes) {
  require(width > 0 && height > 0 && width <= kMaxImageSide && height <= kMaxImageSide,
          "cannot resize to {}x{}: each side must be 1 to {}", width, height, kMaxImageSide);
  require(!image.pixels.empty() && image.width > 0 && image.height > 0, "cannot resize an empty image");
  if (width == image.width && height == image.height) return {width, height, image.pixels.clone()};
  if (height == image.height) return resample_rows(image, width, 0, height, filter);
  const Axis vertical = make_axis(image.height, height, filter);
  if (width == image.width) return resample_columns(image, vertical, 0);
  const int lost_rows = image.height - height;
  if (passes == Passes::pillow13 && lost_rows > 0 && lost_rows > 2 * (image.width - width)) {
    return resample_rows(resample_columns(image, vertical, 0), width, 0, height, filter);
  }
  const int first = vertical.taps.front().first;  // only the rows that the vertical pass reads
  const int last = vertical.taps.back().first + vertical.taps.back().count;
  return resample_columns(resample_rows(image, width, first, last - first, filter), vertical, first);
}

Image resize_shorter_side(const Image& image, int size, Filter filter) {
  const int shorter = std::min(image.width, image.height);
  const int longer = std::max(image.width, image.height);
  require(shorter > 0, "cannot resize an empty image");
  if (shorter == size) return image;
  const std::int64_t length = std::int64_t{size} * longer / shorter;
  require(size > 0 && length <= kMaxImageSide, "cannot resize {}x{} to a shorter side of {}", image.width, image.height,
          size);
  const int other = static_cast<int>(length);
  return image.width <= image.height ? resize(image, size, other, filter) : resize(image, other, size, filter);
}

Image centre_crop(const Image& image, int width, int height) {
  require(width > 0 && height > 0 && width <= image.width && height <= image.height,
          "cannot crop {}x{} out of the middle of an image of {}x{}", width, height, image.width, image.height);
  const auto half = [](int difference) { return difference / 2 + (difference % 4 == 3 ? 1 : 0); };  // halves to even
  return crop(image, half(image.width - width), half(image.height - height), width, height);
}

}  // namespace octet
