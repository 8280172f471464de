#include "calib/observer.h"

#include <fmt/format.h>
#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/error.h"
#include "runtime/io/json_text.h"

namespace octet::calib {
namespace {

using nlohmann::json;

// Floats as their bits: infinities of an observer that has seen nothing are no JSON numbers.
std::uint32_t bits(float value) { return std::bit_cast<std::uint32_t>(value); }
float real(const json& j, const char* key) { return std::bit_cast<float>(j.at(key).get<std::uint32_t>()); }

std::int64_t size_of_view(const View& v) { return std::int64_t{v.n} * v.h * v.w * v.c; }

template <class T>
const T& same_kind(const T& self, const Observer& other) {
  require(other.kind() == self.kind(), "a {} observer cannot take in a {} observer", name_of(self.kind()),
          name_of(other.kind()));
  return static_cast<const T&>(other);
}

}  // namespace

const char* name_of(ObserverKind kind) {
  constexpr const char* names[] = {"min_max", "moving_average", "histogram"};
  return names[static_cast<int>(kind)];
}

void AbsMaxObserver::observe(const View& activation) {
  const Extremes e = extremes_of(activation);
  min_ = std::min(min_, e.min), max_ = std::max(max_, e.max);
  count_ += size_of_view(activation);
}

void AbsMaxObserver::merge(const Observer& observer) {
  const AbsMaxObserver& other = same_kind(*this, observer);
  floor_ = std::max(floor_, other.floor_);
  min_ = std::min(min_, other.min_), max_ = std::max(max_, other.max_);
  count_ += other.count_;
}

float AbsMaxObserver::amax() const {
  return count_ == 0 ? floor_ : std::max({floor_, std::fabs(min_), std::fabs(max_)});
}

std::string AbsMaxObserver::to_json() const {
  return fmt::format("{{\"kind\": \"min_max\", \"floor\": {}, \"min\": {}, \"max\": {}, \"count\": {}}}", bits(floor_),
                     bits(min_), bits(max_), count_);
}

MovingAverageObserver::MovingAverageObserver(float share) : share_(share) {
  require(share > 0 && share <= 1, "a moving average with the share {}: above 0, at most 1 was expected", share);
}

void MovingAverageObserver::observe(const View& activation) {
  const Extremes e = extremes_of(activation);
  if (e.min > e.max) return;
  min_ = batches_ == 0 ? e.min : min_ + share_ * (e.min - min_);
  max_ = batches_ == 0 ? e.max : max_ + share_ * (e.max - max_);
  count_ += size_of_view(activation);
  ++batches_;
}

void MovingAverageObserver::merge(const Observer& observer) {
  const MovingAverageObserver& other = same_kind(*this, observer);
  if (other.batches_ == 0) return;
  const double part = static_cast<double>(other.batches_) / static_cast<double>(batches_ + other.batches_);
  min_ = static_cast<float>(min_ + part * (static_cast<double>(other.min_) - min_));
  max_ = static_cast<float>(max_ + part * (static_cast<double>(other.max_) - max_));
  count_ += other.count_, batches_ += other.batches_;
}

float MovingAverageObserver::amax() const { return std::max(std::fabs(min_), std::fabs(max_)); }

std::string MovingAverageObserver::to_json() const {
  return fmt::format(
      "{{\"kind\": \"moving_average\", \"share\": {}, \"min\": {}, \"max\": {}, \"count\": {}, \"batches\": {}}}",
      bits(share_), bits(min_), bits(max_), count_, batches_);
}

void HistogramObserver::merge(const Observer& other) { histogram_.merge(*same_kind(*this, other).histogram()); }

std::string HistogramObserver::to_json() const {
  return fmt::format("{{\"kind\": \"histogram\", \"histogram\": {}}}", histogram_.to_json());
}

std::unique_ptr<Observer> observer_from_json(const std::string& text) {
  try {
    const json j = json::parse(text);
    const std::string kind = j.at("kind").get<std::string>();
    if (kind == "histogram") {
      return std::make_unique<HistogramObserver>(Histogram::from_json(j.at("histogram").dump()));
    }
    constexpr std::int64_t kMost = std::int64_t{1} << 60;  // so that what comes on top does not overflow
    const auto check = [](float min, float max, std::int64_t count) {
      require(count >= 0 && count <= kMost && (count == 0 || (std::isfinite(min) && std::isfinite(max) && min <= max)),
              "{} values in [{}, {}]", count, min, max);
    };
    if (kind == "min_max") {
      auto o = std::make_unique<AbsMaxObserver>(real(j, "floor"));
      o->min_ = real(j, "min"), o->max_ = real(j, "max"), o->count_ = j.at("count").get<std::int64_t>();
      check(o->min_, o->max_, o->count_);
      require(std::isfinite(o->floor_) && o->floor_ >= 0, "a floor of {}", o->floor_);
      return o;
    }
    require(kind == "moving_average", "the kind '{}' is unknown", printable(kind));
    auto o = std::make_unique<MovingAverageObserver>(real(j, "share"));
    o->min_ = real(j, "min"), o->max_ = real(j, "max"), o->count_ = j.at("count").get<std::int64_t>();
    o->batches_ = j.at("batches").get<std::int64_t>();
    check(o->min_, o->max_, o->count_);
    require(o->batches_ >= 0 && o->batches_ <= kMost && (o->batches_ == 0) == (o->count_ == 0),
            "{} values in {} batches", o->count_, o->batches_);
    return o;
  } catch (const json::exception& e) {
    fail("not an observer: {}", e.what());
  } catch (const Error& e) {
    fail("not an observer: {}", e.what());
  }
}

}  // namespace octet::calib
