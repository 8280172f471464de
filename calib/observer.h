// Observers: what calibration remembers of an edge while batches stream past. Nothing of a batch is kept. Observers of
// several processes, or of several edges that shall share a range, merge; each can be written as JSON and read back.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "calib/histogram.h"
#include "runtime/view.h"

namespace octet::calib {

enum class ObserverKind : std::uint8_t { min_max, moving_average, histogram };  // what is remembered
const char* name_of(ObserverKind kind);                                         // "min_max", ...

class Observer {  // not thread-safe; one an edge
 public:
  virtual ~Observer() = default;
  // An f32 activation of any strides. Throws Error on NaN or infinity.
  virtual void observe(const View& activation) = 0;
  // Adds what another of the same kind has seen; throws Error for another kind.
  virtual void merge(const Observer& other) = 0;
  virtual std::unique_ptr<Observer> clone() const = 0;

  virtual ObserverKind kind() const = 0;
  virtual float min() const = 0;  // 0 while nothing was seen
  virtual float max() const = 0;
  virtual float amax() const = 0;
  virtual std::int64_t count() const = 0;          // values seen
  virtual const Histogram* histogram() const = 0;  // null unless the kind is histogram
  virtual std::string to_json() const = 0;         // one object; every bit comes back
};

// The largest magnitude, the smallest and the largest value of everything seen: abs-max and min-max calibration.
class AbsMaxObserver final : public Observer {
 public:
  // `floor`: amax never falls below it. 0 by default; the cat/dog notebook starts every range at 1.
  explicit AbsMaxObserver(float floor = 0.0f) : floor_(floor) {}

  void observe(const View& activation) override;
  void merge(const Observer& other) override;
  std::unique_ptr<Observer> clone() const override { return std::make_unique<AbsMaxObserver>(*this); }
  ObserverKind kind() const override { return ObserverKind::min_max; }
  float min() const override { return count_ == 0 ? 0.0f : min_; }
  float max() const override { return count_ == 0 ? 0.0f : max_; }
  float amax() const override;
  std::int64_t count() const override { return count_; }
  const Histogram* histogram() const override { return nullptr; }
  std::string to_json() const override;

 private:
  friend std::unique_ptr<Observer> observer_from_json(const std::string& text);
  float floor_;
  float min_ = std::numeric_limits<float>::infinity();
  float max_ = -std::numeric_limits<float>::infinity();
  std::int64_t count_ = 0;
};

// The extremes of each batch, averaged exponentially: the first batch's, then extreme += share * (batch's - extreme).
// It depends on the order of the batches; merging weighs two observers by the number of their batches.
class MovingAverageObserver final : public Observer {
 public:
  explicit MovingAverageObserver(float share = 0.01f);  // in (0, 1]

  void observe(const View& activation) override;
  void merge(const Observer& other) override;
  std::unique_ptr<Observer> clone() const override { return std::make_unique<MovingAverageObserver>(*this); }
  ObserverKind kind() const override { return ObserverKind::moving_average; }
  float min() const override { return min_; }
  float max() const override { return max_; }
  float amax() const override;
  std::int64_t count() const override { return count_; }
  const Histogram* histogram() const override { return nullptr; }
  std::string to_json() const override;

 private:
  friend std::unique_ptr<Observer> observer_from_json(const std::string& text);
  float share_;
  float min_ = 0, max_ = 0;
  std::int64_t count_ = 0, batches_ = 0;
};

// A growing histogram (histogram.h).
class HistogramObserver final : public Observer {
 public:
  explicit HistogramObserver(int bins = 2048) : histogram_(bins) {}
  explicit HistogramObserver(Histogram histogram) : histogram_(std::move(histogram)) {}

  void observe(const View& activation) override { histogram_.observe(activation); }
  void merge(const Observer& other) override;
  std::unique_ptr<Observer> clone() const override { return std::make_unique<HistogramObserver>(*this); }
  ObserverKind kind() const override { return ObserverKind::histogram; }
  float min() const override { return histogram_.min(); }
  float max() const override { return histogram_.max(); }
  float amax() const override { return histogram_.amax(); }
  std::int64_t count() const override { return histogram_.count(); }
  const Histogram* histogram() const override { return &histogram_; }
  std::string to_json() const override;

 private:
  Histogram histogram_;
};

std::unique_ptr<Observer> observer_from_json(const std::string& text);  // throws Error

}  // namespace octet::calib
