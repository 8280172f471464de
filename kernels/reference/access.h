// How the reference kernels read and write 8-bit activations: one element at a time, any strides, either signedness.
#pragma once

#include "kernels/kernel.h"

namespace octet::kernels::reference {

[[maybe_unused]] static inline std::int32_t load8(const View& view, std::int64_t n, std::int64_t y, std::int64_t x,
                                                  std::int64_t c) {
  return view.type == DType::u8 ? std::int32_t{*view.at<std::uint8_t>(n, y, x, c)}
                                : std::int32_t{*view.at<std::int8_t>(n, y, x, c)};
}

// Both signednesses store the low byte.
[[maybe_unused]] static inline void store8(const View& view, std::int64_t n, std::int64_t y, std::int64_t x,
                                           std::int64_t c, std::int32_t q) {
  *view.at<std::uint8_t>(n, y, x, c) = static_cast<std::uint8_t>(q);
}

[[maybe_unused]] static inline void store16(const View& view, std::int64_t n, std::int64_t y, std::int64_t x,
                                            std::int64_t c, std::int32_t q) {
  *view.at<std::int16_t>(n, y, x, c) = static_cast<std::int16_t>(q);
}

// The usual split: one tile is one output row of one image.
[[maybe_unused]] static inline std::int64_t rows(const StepArgs& args) {
  return std::int64_t{args.output.n} * args.output.h;
}

// One tile is one image.
[[maybe_unused]] static inline std::int64_t images(const StepArgs& args) { return args.output.n; }

}  // namespace octet::kernels::reference
