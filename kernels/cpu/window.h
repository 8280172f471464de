// The part of a window that lies inside its input, for kernels that test for the border instead of reading a halo.
#pragma once

#include "kernels/kernel.h"

namespace octet::kernels::window {

// The taps along one axis that lie inside: [first, last).
struct Taps {
  std::int64_t first, last;
};

[[maybe_unused]] static inline Taps inside(std::int64_t start, std::int64_t kernel, std::int64_t dilation,
                                           std::int64_t size) {
  std::int64_t first = 0, last = kernel;
  while (first < last && start + first * dilation < 0) ++first;
  while (last > first && start + (last - 1) * dilation >= size) --last;
  return {first, last};
}

// The usual split: one tile is one output row of one image.
[[maybe_unused]] static inline std::int64_t rows(const StepArgs& args) {
  return std::int64_t{args.output.n} * args.output.h;
}

}  // namespace octet::kernels::window
