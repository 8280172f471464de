// The amax rules: from a histogram of magnitudes to the range that a quantiser should have.
//
//   max         the largest magnitude: nothing is clipped
//   percentile  the lower edge of the first bin whose cumulative share reaches p / 100
//   mse         the bin centre that, as amax, makes  sum over bins of count * (fake_quant(centre) - centre)^2 smallest;
//               the first such one. Candidates from index start_bin on, every stride-th.
//   entropy     the bin edge i (start_bin, start_bin + stride, ..., number of bins) that makes KL(P || Q) smallest; the
//               last such one. With bin 0's count replaced by bin 1's: P is the first i counts, the mass beyond them
//               added to the last; Q is the first i counts (without that mass) gathered into 2^(num_bits - 1 +
//               unsigned) equal divisions of [0, i), each division's sum spread evenly over its bins that are not
//               empty. Infinite where P has mass and Q has none.
//
// Taken literally, mse and entropy cost (number of bins)^2. Here each candidate costs one step per quantisation level:
// both sums split into levels, and prefix sums over the bins give a level's share at once. That rounds differently, so
// the candidates that come close to the best are computed again as the definition says, and those values decide
// (CALIBRATION.md, "Choosing amax").
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "calib/histogram.h"

namespace octet::calib {

enum class Rule : std::uint8_t { max, entropy, mse, percentile };  // from a histogram of |x| to an amax
inline constexpr std::array kRules = {Rule::max, Rule::entropy, Rule::mse, Rule::percentile};  // in the order of tables
const char* name_of(Rule rule);  // "max", "entropy", "mse", "percentile"

struct AmaxOptions {  // of the integers, and of the rules' search
  int num_bits = 8;   // 2 to 16
  bool is_unsigned = false;
  int start_bin = 128;        // >= 1; at most the number of bins
  int stride = 1;             // >= 1; at most the number of bins
  double percentile = 99.99;  // (0, 100]
};

// Throws Error for options out of range, or when start_bin leaves no candidate. A histogram of zeros gives 0.
float choose_amax(const Histogram& histogram, Rule rule, const AmaxOptions& options = {});

// What the rules choose, as an index: the edge i of entropy, the bin of mse and percentile. `counts` are those of |x|;
// `centres` are the bins' middles.
int entropy_edge(std::span<const std::int64_t> counts, const AmaxOptions& options);
int mse_bin(std::span<const std::int64_t> counts, std::span<const float> centres, const AmaxOptions& options);
int percentile_bin(std::span<const std::int64_t> counts, double percentile);

}  // namespace octet::calib
