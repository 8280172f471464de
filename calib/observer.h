// Observers: what calibration remembers of an edge while batches stream past. Nothing of a batch is kept.
#pragma once

#include <cstdint>
#include <limits>

#include "runtime/view.h"

namespace octet::calib {

// The largest magnitude, the smallest and the largest value of everything seen ("max" calibration).
class AbsMaxObserver {
 public:
  // `floor`: amax never falls below it. 0 by default; the cat/dog notebook starts every range at 1.
  explicit AbsMaxObserver(float floor = 0.0f) : floor_(floor) {}

  // An f32 activation of any strides. Throws Error on NaN or infinity.
  void observe(const View& activation);
  void merge(const AbsMaxObserver& other);

  float amax() const;
  float min() const { return count_ == 0 ? 0.0f : min_; }
  float max() const { return count_ == 0 ? 0.0f : max_; }
  std::int64_t count() const { return count_; }  // values seen

 private:
  float floor_;
  float min_ = std::numeric_limits<float>::infinity();
  float max_ = -std::numeric_limits<float>::infinity();
  std::int64_t count_ = 0;
};

}  // namespace octet::calib
