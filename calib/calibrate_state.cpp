// What a Calibrator hands to another process, and how several become one.
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "calib/calibrate.h"
#include "runtime/error.h"

namespace octet::calib {
namespace {

using nlohmann::json;

// Doubles as their bits: every one comes back.
json bits_of(const std::vector<double>& values) {
  json bits = json::array();
  for (const double v : values) bits.push_back(std::bit_cast<std::uint64_t>(v));
  return bits;
}

std::vector<double> doubles_from(const json& bits) {
  std::vector<double> values;
  for (const json& b : bits) {
    values.push_back(std::bit_cast<double>(b.get<std::uint64_t>()));
    require(std::isfinite(values.back()), "a sum that is no number");
  }
  return values;
}

}  // namespace

std::vector<float> Calibrator::widths() const {
  std::vector<float> widths;
  for (const auto& observer : observers_) {
    const Histogram* histogram = observer->histogram();
    widths.push_back(histogram == nullptr ? 0.0f : histogram->width());
  }
  return widths;
}

void Calibrator::restart(std::span<const float> widths) {
  require(widths.size() == blank_.size(), "{} widths for {} observers", widths.size(), blank_.size());
  for (std::size_t i = 0; i < blank_.size(); ++i) {
    observers_[i] = blank_[i]->clone();
    if (widths[i] == 0) continue;
    require(observers_[i]->kind() == ObserverKind::histogram, "a width for an observer that is no histogram");
    Histogram histogram = *observers_[i]->histogram();
    histogram.fix_width(widths[i]);
    observers_[i] = std::make_unique<HistogramObserver>(std::move(histogram));
  }
  for (auto& [edge, layers] : means_) {
    for (Means& means : layers) means.sums.clear(), means.rests.clear(), means.count = 0;
  }
  images_ = 0;
}

std::string Calibrator::state() const {
  json observers = json::array(), means = json::array();
  for (const auto& observer : observers_) observers.push_back(json::parse(observer->to_json()));
  for (const auto& [edge, layers] : means_) {
    for (const Means& m : layers) {
      means.push_back({{"layer", m.layer}, {"count", m.count}, {"sums", bits_of(m.sums)}, {"rests", bits_of(m.rests)}});
    }
  }
  return json{{"model", model_}, {"images", images_}, {"observers", observers}, {"means", means}}.dump();
}

void Calibrator::merge(const std::string& state) {
  require(options_.range.method != Method::moving_average,
          "the method moving_average depends on the order of the batches: it calibrates in one process");
  try {
    const json j = json::parse(state);
    require(j.at("model") == model_, "a calibration of another network");
    const json &observers = j.at("observers"), &means = j.at("means");
    require(observers.size() == observers_.size(), "{} observers, {} were expected", observers.size(),
            observers_.size());
    const auto images = j.at("images").get<std::int64_t>();
    require(images >= 0, "{} images", images);
    for (std::size_t i = 0; i < observers_.size(); ++i) {
      observers_[i]->merge(*observer_from_json(observers[i].dump()));
    }
    std::size_t next = 0;
    for (auto& [edge, layers] : means_) {
      for (Means& m : layers) {
        const json& other = means.at(next++);
        const auto sums = doubles_from(other.at("sums")), rests = doubles_from(other.at("rests"));
        require(other.at("layer") == m.layer && sums.size() == rests.size(), "the means of '{}' are not there",
                m.layer);
        if (m.sums.empty()) m.sums.resize(sums.size()), m.rests.resize(sums.size());
        require(sums.empty() || sums.size() == m.sums.size(), "{} channels of '{}'", sums.size(), m.layer);
        for (std::size_t c = 0; c < sums.size(); ++c) m.add(c, sums[c]), m.rests[c] += rests[c];
        m.count += other.at("count").get<std::int64_t>();
      }
    }
    images_ += images;
  } catch (const json::exception& e) {
    fail("not the state of a calibration: {}", e.what());
  } catch (const Error& e) {
    fail("not the state of a calibration: {}", e.what());
  }
}

}  // namespace octet::calib
