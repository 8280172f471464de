// One pass over all of a layer's weights: checks, sums and rounding that are part of every start. They are apart from
// their callers because they are compiled to vector loops, which the rest of the runtime has no use for.
#pragma once

#include <cstdint>
#include <span>

namespace octet {

struct WeightSums {  // of the weights, and of their magnitudes (rules 4 and 5)
  std::int64_t plain = 0, absolute = 0;
};
WeightSums sums_of(std::span<const std::int8_t> weights);                // exact
bool contains(std::span<const std::int8_t> weights, std::int8_t value);  // whether any weight is `value`

bool all_finite(std::span<const float> values);  // neither NaN nor infinite
float amax_of(std::span<const float> values);    // the largest magnitude; 0 of nothing. No NaN may be among them.
// Rule 3: v = clamp(rne(w * inverse), -127, 127). `to` has as many elements.
void quantise_weights(std::span<const float> weights, float inverse, std::span<std::int8_t> to);

}  // namespace octet
