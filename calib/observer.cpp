#include "calib/observer.h"

#include <algorithm>
#include <cmath>

#include "runtime/error.h"

namespace octet::calib {

void AbsMaxObserver::observe(const View& v) {
  require(v.type == DType::f32, "an observer was shown a {} activation", name_of(v.type));
  float low = min_, high = max_;
  bool finite = true;
  for (std::int64_t n = 0; n < v.n; ++n) {
    for (std::int64_t y = 0; y < v.h; ++y) {
      for (std::int64_t x = 0; x < v.w; ++x) {
        const float* pixel = v.at<float>(n, y, x);
        for (std::int64_t c = 0; c < v.c; ++c) {
          const float value = pixel[c * v.stride_c];
          finite &= std::isfinite(value);
          low = std::min(low, value);
          high = std::max(high, value);
        }
      }
    }
  }
  require(finite, "calibration met a NaN or an infinity: the weights or the input are broken");
  min_ = low, max_ = high;
  count_ += std::int64_t{v.n} * v.h * v.w * v.c;
}

void AbsMaxObserver::merge(const AbsMaxObserver& other) {
  floor_ = std::max(floor_, other.floor_);
  min_ = std::min(min_, other.min_), max_ = std::max(max_, other.max_);
  count_ += other.count_;
}

float AbsMaxObserver::amax() const {
  return count_ == 0 ? floor_ : std::max({floor_, std::fabs(min_), std::fabs(max_)});
}

}  // namespace octet::calib
