#include "runtime/weight_scan.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "runtime/arithmetic.h"

namespace octet {

WeightSums sums_of(std::span<const std::int8_t> weights) {
  constexpr std::size_t kBlock = 1 << 16;  // 32-bit sums of so many bytes cannot overflow, and they fill vectors
  WeightSums sums;
  while (!weights.empty()) {
    const auto block = weights.first(std::min(kBlock, weights.size()));
    std::int32_t plain = 0, absolute = 0;
    for (const std::int32_t w : block) plain += w, absolute += std::abs(w);
    sums.plain += plain, sums.absolute += absolute;
    weights = weights.subspan(block.size());
  }
  return sums;
}

// (Loops that cannot be left early become vector loops.)
bool contains(std::span<const std::int8_t> weights, std::int8_t value) {
  std::uint8_t found = 0;
  for (const std::int8_t w : weights) found |= static_cast<std::uint8_t>(w == value);
  return found != 0;
}

// Magnitudes of floats are in the order of their bits, of which 0x7f800000 is infinity and all above are NaN.
static std::int32_t largest_bits(std::span<const float> values) {
  std::int32_t largest = 0;
  for (const float v : values) largest = std::max(largest, std::bit_cast<std::int32_t>(v) & 0x7fffffff);
  return largest;
}

bool all_finite(std::span<const float> values) { return largest_bits(values) < 0x7f800000; }

float amax_of(std::span<const float> values) { return std::bit_cast<float>(largest_bits(values)); }

void quantise_weights(std::span<const float> weights, float inverse, std::span<std::int8_t> to) {
  const float* from = weights.data();
  std::int8_t* out = to.data();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    out[i] = static_cast<std::int8_t>(arithmetic::quantise(from[i], inverse, -127, 127, 0));
  }
}

}  // namespace octet
