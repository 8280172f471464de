#include "calib/histogram.h"

#include <fmt/format.h>
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "calib/runs.h"

namespace octet::calib {
namespace {

using nlohmann::json;

constexpr float kSmallestNormal = std::numeric_limits<float>::min(), kLargest = std::numeric_limits<float>::max();
constexpr std::int64_t kMostOfABin = std::int64_t{1} << 44;  // of a file: no sum of all bins overflows

float inverse_of(float width) { return static_cast<float>(1.0 / static_cast<double>(width)); }

// Eight at a time, each lane by itself: one chain of comparisons would wait for its own result.
void widen(std::span<const float> values, float& low, float& high) {
  constexpr std::size_t kLanes = 8;
  float lowest[kLanes], highest[kLanes], poison[kLanes] = {};
  std::fill_n(lowest, kLanes, low), std::fill_n(highest, kLanes, high);
  const auto take = [&](std::size_t lane, float v) {
    lowest[lane] = v < lowest[lane] ? v : lowest[lane];
    highest[lane] = v > highest[lane] ? v : highest[lane];
    poison[lane] += v * 0.0f;  // 0, or NaN from the first NaN or infinity on
  };
  std::size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) take(lane, values[i + lane]);
  }
  for (; i < values.size(); ++i) take(0, values[i]);
  for (const float p : poison) {
    require(!std::isnan(p), "calibration met a NaN or an infinity: the weights or the input are broken");
  }
  low = *std::ranges::min_element(lowest), high = *std::ranges::max_element(highest);
}

// The bin of a magnitude, as a float: the product that count_values() cuts to a whole number.
float place_of(float magnitude, float width) { return magnitude * inverse_of(width); }

std::int64_t sum_of(const std::vector<std::int64_t>& counts) {
  std::int64_t sum = 0;
  for (const std::int64_t c : counts) sum += c;
  return sum;
}

}  // namespace

Extremes extremes_of(const View& activation) {
  Extremes e{std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()};
  for_each_run(activation, [&](std::span<const float> run) { widen(run, e.min, e.max); });
  return e;
}

Histogram::Histogram(int first_bins) : first_bins_(first_bins) {
  require(first_bins >= 2 && first_bins <= kMaxBins, "{} bins: 2 to {} were expected", first_bins, kMaxBins);
  positive_.resize(static_cast<std::size_t>(first_bins));
  negative_.resize(static_cast<std::size_t>(first_bins));
}

float Histogram::amax() const { return std::max(std::fabs(min()), std::fabs(max())); }

std::vector<std::int64_t> Histogram::magnitudes() const {
  std::vector<std::int64_t> both = positive_;
  for (std::size_t i = 0; i < both.size(); ++i) both[i] += negative_[i];
  return both;
}

void Histogram::fix_width(float width) {
  require(count_ == 0 && width >= kSmallestNormal, "a histogram's width is fixed before its first value, and is > 0");
  width_ = width;
}

// Two neighbours become one. An odd last bin gets an empty neighbour.
void Histogram::halve() {
  for (std::vector<std::int64_t>* counts : {&positive_, &negative_}) {
    const std::size_t bins = (counts->size() + 1) / 2;
    counts->resize(2 * bins);
    for (std::size_t i = 0; i < bins; ++i) (*counts)[i] = (*counts)[2 * i] + (*counts)[2 * i + 1];
    counts->resize(bins);
  }
  width_ *= 2;
}

// Makes every magnitude up to amax fall into a bin, by the very product that counting uses: then where a value goes
// depends on the first width alone, and not on how many bins there happen to be when it comes.
void Histogram::cover(double largest) {
  const auto amax = static_cast<float>(largest);  // which it was
  if (width_ == 0) {
    if (amax == 0) return;
    width_ = std::max(static_cast<float>(static_cast<double>(amax) / first_bins_), kSmallestNormal);
    // The top edge belongs to the last bin. The product may round to the edge behind it: then a bin is wider by 2^-23.
    while (place_of(amax, width_) >= static_cast<float>(first_bins_)) width_ = std::nextafter(width_, kLargest);
    return;
  }
  while (place_of(amax, width_) >= static_cast<float>(kMaxBins)) halve();
  const auto bins = static_cast<std::size_t>(place_of(amax, width_)) + 1;
  if (bins <= positive_.size()) return;
  positive_.resize(bins), negative_.resize(bins);
}

void Histogram::count_values(std::span<const float> values) {
  count_ += static_cast<std::int64_t>(values.size());
  if (width_ == 0) {
    positive_[0] += static_cast<std::int64_t>(values.size());
    return;
  }
  const float inverse = inverse_of(width_);
  for (const float v : values) {
    const auto bin = static_cast<std::int32_t>(std::fabs(v) * inverse);
    ++(v < 0 ? negative_ : positive_)[static_cast<std::size_t>(bin)];
  }
}

void Histogram::observe(const View& activation) {
  const Extremes e = extremes_of(activation);
  if (e.min > e.max) return;  // no element
  min_ = count_ == 0 ? e.min : std::min(min_, e.min), max_ = count_ == 0 ? e.max : std::max(max_, e.max);
  cover(std::max(std::fabs(e.min), std::fabs(e.max)));
  for_each_run(activation, [&](std::span<const float> run) { count_values(run); });
}

void Histogram::observe(std::span<const float> values) {
  View view;
  view.data = reinterpret_cast<std::byte*>(const_cast<float*>(values.data()));
  view.type = DType::f32;
  constexpr std::size_t kChunk = 1 << 30;  // a view's sizes are 32-bit
  require(values.size() <= kChunk, "{} values at once: at most {} were expected", values.size(), kChunk);
  view.n = 1, view.c = static_cast<std::int32_t>(values.size());
  view.stride_w = view.stride_h = view.stride_n = view.c;
  observe(view);
}

void Histogram::merge(const Histogram& other) {
  if (other.count_ == 0) return;
  if (width_ == 0 || (count_ == 0 && other.width_ != 0)) {  // only zeros here: the other's bins serve
    const Histogram mine = *this;
    *this = other;
    positive_[0] += mine.count_, count_ += mine.count_;
    min_ = mine.count_ == 0 ? min_ : std::min(min_, mine.min_),
    max_ = mine.count_ == 0 ? max_ : std::max(max_, mine.max_);
    return;
  }
  min_ = std::min(min_, other.min_), max_ = std::max(max_, other.max_);
  count_ += other.count_;
  if (other.width_ == 0) {
    positive_[0] += other.count_;
    return;
  }
  Histogram finer = other;
  if (finer.width_ > width_) {
    std::swap(finer.width_, width_), std::swap(finer.positive_, positive_), std::swap(finer.negative_, negative_);
  }
  while (2 * finer.width_ <= width_) finer.halve();
  // Equal widths add up bin by bin. Others: as many bins as hold the finer one's top, and its bins go by their centres.
  const bool equal = finer.width_ == width_;
  const auto needed = [&] {
    return equal ? finer.bins() : std::ceil(static_cast<double>(finer.width_) * finer.bins() / width_);
  };
  while (needed() > kMaxBins) halve();
  const std::size_t bins = std::max(positive_.size(), static_cast<std::size_t>(needed()));
  positive_.resize(bins), negative_.resize(bins);
  const double scale = equal ? 1 : static_cast<double>(finer.width_) / static_cast<double>(width_);
  for (int i = 0; i < finer.bins(); ++i) {
    const auto bin = std::min(static_cast<std::size_t>((i + 0.5) * scale), bins - 1);
    positive_[bin] += finer.positive_[static_cast<std::size_t>(i)];
    negative_[bin] += finer.negative_[static_cast<std::size_t>(i)];
  }
}

std::string Histogram::to_json() const {
  return fmt::format(
      "{{\"first_bins\": {}, \"width_bits\": {}, \"min_bits\": {}, \"max_bits\": {}, \"positive\": {}, \"negative\": "
      "{}}}",
      first_bins_, std::bit_cast<std::uint32_t>(width_), std::bit_cast<std::uint32_t>(min_),
      std::bit_cast<std::uint32_t>(max_), json(positive_).dump(), json(negative_).dump());
}

Histogram Histogram::from_json(const std::string& text) {
  try {
    const json j = json::parse(text);
    Histogram h(j.at("first_bins").get<int>());
    const auto real = [&](const char* key) { return std::bit_cast<float>(j.at(key).get<std::uint32_t>()); };
    h.width_ = real("width_bits"), h.min_ = real("min_bits"), h.max_ = real("max_bits");
    h.positive_ = j.at("positive").get<std::vector<std::int64_t>>();
    h.negative_ = j.at("negative").get<std::vector<std::int64_t>>();
    const auto bins = h.positive_.size();
    require(bins >= 1 && bins <= kMaxBins && h.negative_.size() == bins, "{} and {} bins", bins, h.negative_.size());
    for (const auto& counts : {h.positive_, h.negative_}) {
      for (const std::int64_t c : counts) require(c >= 0 && c <= kMostOfABin, "a count of {}", c);
    }
    h.count_ = sum_of(h.positive_) + sum_of(h.negative_);
    require(h.width_ == 0 || std::isnormal(h.width_), "a bin width of {}", h.width_);
    require(h.width_ >= 0 && std::isfinite(h.min_) && std::isfinite(h.max_) && h.min_ <= h.max_,
            "width {}, range [{}, {}]", h.width_, h.min_, h.max_);
    return h;
  } catch (const json::exception& e) {
    fail("not a histogram: {}", e.what());
  } catch (const Error& e) {
    fail("not a histogram: {}", e.what());
  }
}

}  // namespace octet::calib
