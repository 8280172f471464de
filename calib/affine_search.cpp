#include "calib/affine_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "runtime/error.h"

namespace octet::calib {
namespace {

constexpr int kSteps = 256;         // of the quantised range: 8 bits, whatever reduce_range says later
constexpr double kQuantile = 1e-5;  // how much mass one move may cut off

// The histogram of x from its lowest to its highest occupied bin, in units of one bin.
struct Signed {
  std::vector<double> counts;
  std::int64_t first = 0;  // the bin that begins at first * width
};

Signed signed_counts(const Histogram& h) {
  const auto occupied = [](const std::vector<std::int64_t>& counts) {
    std::size_t bins = counts.size();
    while (bins > 0 && counts[bins - 1] == 0) --bins;
    return bins;
  };
  const std::size_t below = occupied(h.negative()), above = occupied(h.positive());
  Signed s{.counts = std::vector<double>(below + above), .first = -static_cast<std::int64_t>(below)};
  for (std::size_t i = 0; i < below; ++i) s.counts[below - 1 - i] = static_cast<double>(h.negative()[i]);
  for (std::size_t i = 0; i < above; ++i) s.counts[below + i] = static_cast<double>(h.positive()[i]);
  return s;
}

// The integral of density * t^2 over [begin, end]: the squared error of a stretch whose level lies at 0.
double stretch(double begin, double end, double density) {
  return density * (end * end * end - begin * begin * begin) / 3;
}

// The expected squared error when [start, end] (bins, inclusive) is cut into kSteps levels, in units of bins.
double error_of(const std::vector<double>& counts, std::int64_t start, std::int64_t end) {
  const double level = static_cast<double>(end - start + 1) / kSteps;
  const auto level_at = [&](double x) { return std::clamp(std::floor(x / level), 0.0, kSteps - 1.0); };
  double error = 0;
  for (std::size_t j = 0; j < counts.size(); ++j) {
    if (counts[j] == 0) continue;
    const double from = static_cast<double>(static_cast<std::int64_t>(j) - start), to = from + 1;
    const double first = level_at(from), last = level_at(to);
    // The rest of the first level, whole levels, the beginning of the last one (negative where first == last: what the
    // first term counted too much).
    error += stretch(from - (first + 0.5) * level, level / 2, counts[j]) +
             (last - first - 1) * stretch(-level / 2, level / 2, counts[j]) +
             stretch(-level / 2, to - (last + 0.5) * level, counts[j]);
  }
  return error;
}

}  // namespace

AffineRange search_affine_range(const Histogram& h) {
  require(h.count() > 0, "a histogram of nothing has no range");
  if (h.amax() == 0) return {0, 0};
  const Signed s = signed_counts(h);
  std::vector<double> cumulative(s.counts);
  for (std::size_t j = 1; j < cumulative.size(); ++j) cumulative[j] += cumulative[j - 1];
  const auto mass = [&](std::int64_t j) { return cumulative[static_cast<std::size_t>(j)]; };
  const double total = cumulative.back();
  double below = 0, above = 1, smallest = std::numeric_limits<double>::infinity();
  std::int64_t start = 0, end = static_cast<std::int64_t>(s.counts.size()) - 1;
  while (below < above) {
    std::int64_t left = start, right = end;
    while (left < end && mass(left) < (below + kQuantile) * total) ++left;
    while (right > start && mass(right) > (above - kQuantile) * total) --right;
    const bool move_start = left - start > end - right;
    (move_start ? below : above) += move_start ? kQuantile : -kQuantile;
    const std::int64_t next_start = move_start ? left : start, next_end = move_start ? end : right;
    if (next_start == start && next_end == end) continue;
    const double error = error_of(s.counts, next_start, next_end);
    if (error > smallest) break;
    smallest = error;
    start = next_start, end = next_end;
  }
  // The outermost bins reach past the extremes.
  const double width = h.width();
  return {std::max(h.min(), static_cast<float>(width * static_cast<double>(s.first + start))),
          std::min(h.max(), static_cast<float>(width * static_cast<double>(s.first + end + 1)))};
}

}  // namespace octet::calib
