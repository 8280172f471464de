// From what an observer saw to the range of an edge, by one of the calibration methods.
#pragma once

#include <string>

#include "calib/amax.h"
#include "calib/observer.h"
#include "calib/ranges.h"

namespace octet::calib {

enum class Method : std::uint8_t {  // how an edge's range is chosen
  max,                              // everything that was seen
  entropy,                          // the amax rules (amax.h); an affine range is what was seen, cut at -amax and amax
  mse,                              //
  percentile,                       //
  moving_average,                   // the extremes of each batch, averaged
  histogram,                        // PyTorch's HistogramObserver (affine_search.h), for affine ranges
};
const char* name_of(Method method);          // as --method says it
Method method_named(std::string_view name);  // throws Error that lists the names

struct RangeOptions {  // how an observer becomes a range
  Method method = Method::max;
  Scheme scheme = Scheme::symmetric;
  bool reduce_range = false;  // affine only
  AmaxOptions rule;           // num_bits 2 to 8; is_unsigned is decided edge by edge
};

// Which observer the method needs.
std::unique_ptr<Observer> make_observer(Method method, int bins, float floor);

// Throws Error when the observer has seen nothing or is of the wrong kind.
EdgeRange choose_range(const std::string& name, const Observer& observer, const RangeOptions& options);
// Of a wide edge (runtime/graph.h): everything that was seen, symmetric, in 15 bits and a sign. With steps that fine
// nothing is won by clipping, so the method of other edges does not apply.
EdgeRange choose_wide_range(const std::string& name, const Observer& observer);

}  // namespace octet::calib
