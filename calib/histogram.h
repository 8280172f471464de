// Histogram: how often each magnitude occurred, in equal bins that start at 0. The amax rules (amax.h) read it.
//
// The first values that are not all 0 fix the width: `first_bins` bins over 0..max|x|. Later values beyond the last
// bin add bins of the same width, as the field's histogram calibrators do. Those add bins without limit (one outlier of
// 100 times the first maximum makes 200,000); here, above kMaxBins, neighbours merge in pairs and the width doubles
// until the bins fit. Merging pairs is exact: the histogram is the one that the doubled width would have given from the
// start, whatever the order of the values.
//
// Negative and non-negative values are counted apart, bin k of both holding k * width <= |x| < (k + 1) * width. Their
// sum is the histogram of |x|; laid back to back they are the histogram of x, which affine ranges are chosen from.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/view.h"

namespace octet::calib {

class Histogram {
 public:
  static constexpr int kMaxBins = 65536;

  // 2 <= first_bins <= kMaxBins; throws Error otherwise.
  explicit Histogram(int first_bins = 2048);

  // An f32 activation of any strides; nothing of it is kept. Throws Error on NaN or infinity.
  void observe(const View& activation);
  void observe(std::span<const float> values);
  // Adds another's counts. Exact where one width is the other's times a power of two (observers that began with the
  // same width, or with one that was handed to both); otherwise the finer one's bins go where their centres fall.
  void merge(const Histogram& other);
  // Fixes the width before any value is seen, so that histograms of several processes merge exactly. In units of |x|.
  void fix_width(float width);

  int bins() const { return static_cast<int>(positive_.size()); }
  float width() const { return width_; }  // 0 while only zeros were seen
  float edge(int i) const { return static_cast<float>(static_cast<double>(width_) * i); }  // lower edge of bin i
  float centre(int i) const { return (edge(i) + edge(i + 1)) / 2; }                        // of bin i
  const std::vector<std::int64_t>& positive() const { return positive_; }                  // zeros are here
  const std::vector<std::int64_t>& negative() const { return negative_; }
  std::vector<std::int64_t> magnitudes() const;  // the counts of |x|
  std::int64_t count() const { return count_; }
  float min() const { return count_ == 0 ? 0.0f : min_; }  // exact, of all values seen
  float max() const { return count_ == 0 ? 0.0f : max_; }
  float amax() const;

  std::string to_json() const;                          // every bit comes back
  static Histogram from_json(const std::string& text);  // throws Error
  bool operator==(const Histogram&) const = default;

 private:
  void count_values(std::span<const float> values);
  void cover(double amax);
  void halve();

  int first_bins_;
  float width_ = 0, min_ = 0, max_ = 0;
  std::int64_t count_ = 0;
  std::vector<std::int64_t> positive_, negative_;
};

// The smallest and the largest value of an f32 activation; throws Error on NaN or infinity.
struct Extremes {
  float min, max;
};
Extremes extremes_of(const View& activation);

}  // namespace octet::calib
