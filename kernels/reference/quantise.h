// The definition of rule 2, once, for 8 bits and for wide edges: `store(view, n, y, x, c, q)` puts the integer away. A
// NaN sets the run's fault flag (the run then throws) and is stored as the zero point.
#pragma once

#include "kernels/reference/access.h"
#include "runtime/arithmetic.h"

namespace octet::kernels::reference {

using StoreInteger = void (*)(const View&, std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c,
                              std::int32_t q);

template <StoreInteger store>
static void quantise(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto& p = *static_cast<const QuantiseParams*>(args.params);
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, y = row % out.h;
    for (std::int64_t x = 0; x < out.w; ++x) {
      for (std::int64_t c = 0; c < out.c; ++c) {
        const float value = *in.at<float>(n, y, x, c);
        const bool nan = value != value;
        if (nan) __atomic_store_n(args.fault, 1, __ATOMIC_RELAXED);
        const std::int32_t q = p.dead || nan ? p.zero : arithmetic::quantise(value, p.inverse, p.lo, p.hi, p.zero);
        store(out, n, y, x, c, q);
      }
    }
  }
}

}  // namespace octet::kernels::reference
