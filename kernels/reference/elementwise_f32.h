// Float element-wise operations: one loop, the operation given as a functor (value of each input, channel) -> value.
#pragma once

#include "kernels/reference/access.h"
#include "runtime/arithmetic.h"

namespace octet::kernels::reference {

template <class Operation>
static void elementwise(const StepArgs& args, std::int64_t first, std::int64_t last, Operation operation) {
  const View& out = args.output;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, y = row % out.h;
    for (std::int64_t x = 0; x < out.w; ++x) {
      for (std::int64_t c = 0; c < out.c; ++c) {
        const auto input = [&](std::int32_t i) { return *args.inputs[i].at<float>(n, y, x, c); };
        *out.at<float>(n, y, x, c) = operation(input, c);
      }
    }
  }
}

}  // namespace octet::kernels::reference
