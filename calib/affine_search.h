// The affine range that PyTorch's HistogramObserver chooses: starting from the whole histogram of x, the end whose next
// 1e-5 of the mass spans more bins is cut off, as long as that makes the expected squared error of 256 equal steps over
// the rest smaller. Values are taken as spread evenly within their bin.
#pragma once

#include "calib/histogram.h"

namespace octet::calib {

struct AffineRange {  // real units, min <= max
  float min, max;
};

// Throws Error when the histogram has seen nothing.
AffineRange search_affine_range(const Histogram& histogram);

}  // namespace octet::calib
