#include "calib/amax.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "calib/fake_quant.h"
#include "runtime/error.h"
#include "runtime/float_environment.h"

namespace octet::calib {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double log_or_zero(double x) { return x > 0 ? std::log(x) : 0; }

// --- entropy -------------------------------------------------------------------------------------------------------

// The divergence of edge i as the definition writes it. `counts` has bin 0 replaced already.
double literal_divergence(std::span<const std::int64_t> counts, int i, std::int64_t levels) {
  const auto first_of = [&](std::int64_t level) { return static_cast<std::size_t>((level * i + levels - 1) / levels); };
  const auto size = static_cast<std::size_t>(i);
  std::vector<double> p(counts.begin(), counts.begin() + i), q(size, 0.0);
  for (std::size_t j = size; j < counts.size(); ++j) p[size - 1] += static_cast<double>(counts[j]);
  for (std::int64_t level = 0; level < levels; ++level) {
    double sum = 0, occupied = 0;
    for (std::size_t j = first_of(level); j < first_of(level + 1); ++j) {
      sum += static_cast<double>(counts[j]);
      occupied += counts[j] != 0;
    }
    for (std::size_t j = first_of(level); j < first_of(level + 1); ++j) {
      if (counts[j] != 0) q[j] = sum / occupied;
    }
  }
  double p_sum = 0, q_sum = 0, divergence = 0;
  for (const double v : p) p_sum += v;
  for (const double v : q) q_sum += v;
  for (std::size_t j = 0; j < size; ++j) {
    if (p[j] == 0) continue;
    if (q[j] == 0) return kInfinity;
    divergence += p[j] / p_sum * std::log(p[j] / p_sum / (q[j] / q_sum));
  }
  return divergence;
}

// With C, N and H the prefix sums of the counts, of the occupied bins and of count * log(count), T the total, and
// P's last count c' = c + rest,
//   KL = (sum of P_j log P_j - sum over levels of (P's mass in the level) * log(level's count / its occupied bins)) / T
//        - log T + log C[i]
class EntropyScan {
 public:
  EntropyScan(std::span<const std::int64_t> counts, std::int64_t levels) : counts_(counts), levels_(levels) {
    const std::size_t bins = counts.size();
    mass_.resize(bins + 1), occupied_.resize(bins + 1), log_mass_.resize(bins + 1);
    for (std::size_t j = 0; j < bins; ++j) {
      const auto c = static_cast<double>(counts[j]);
      mass_[j + 1] = mass_[j] + counts[j];
      occupied_[j + 1] = occupied_[j] + (counts[j] != 0);
      log_mass_[j + 1] = log_mass_[j] + c * log_or_zero(c);
    }
  }

  double divergence(int i) const {
    const auto size = static_cast<std::size_t>(i);
    const auto total = static_cast<double>(mass_.back()), inside = static_cast<double>(mass_[size]);
    const double rest = total - inside, last = static_cast<double>(counts_[size - 1]);
    if (rest > 0 && last == 0) return kInfinity;
    double sum = log_mass_[size] - last * log_or_zero(last) + (last + rest) * log_or_zero(last + rest);
    std::size_t begin = 0;
    for (std::int64_t level = 0; level < levels_; ++level) {
      const auto end = static_cast<std::size_t>(((level + 1) * i + levels_ - 1) / levels_);
      const std::int64_t mass = mass_[end] - mass_[begin];
      if (mass != 0) {
        const auto in_level = static_cast<double>(mass);
        const double share = in_level + (end == size ? rest : 0.0);  // the last bin's level; others behind are empty
        sum -= share * std::log(in_level / (occupied_[end] - occupied_[begin]));
      }
      begin = end;
    }
    return sum / total - std::log(total) + std::log(inside);
  }

 private:
  std::span<const std::int64_t> counts_;
  std::int64_t levels_;
  std::vector<std::int64_t> mass_;
  std::vector<int> occupied_;
  std::vector<double> log_mass_;
};

// --- mse -----------------------------------------------------------------------------------------------------------

double literal_error(std::span<const std::int64_t> counts, std::span<const float> centres, std::size_t candidate,
                     const FakeQuant& how) {
  const float scale = how.max_bound() / centres[candidate];
  double error = 0;
  for (std::size_t j = 0; j < counts.size(); ++j) {
    const double difference = static_cast<double>(fake_quant_value(centres[j], scale, how)) - centres[j];
    error += static_cast<double>(counts[j]) * difference * difference;
  }
  return error;
}

// All centres that quantise to one level q share their value r = q / scale, and
//   sum of c * (x - r)^2 = sum of c * x^2 - 2 r * sum of c * x + r^2 * sum of c:  three prefix sums.
class ErrorScan {
 public:
  ErrorScan(std::span<const std::int64_t> counts, std::span<const float> centres, const FakeQuant& how)
      : centres_(centres), how_(how) {
    const std::size_t bins = counts.size();
    zeroth_.resize(bins + 1), first_.resize(bins + 1), second_.resize(bins + 1);
    for (std::size_t j = 0; j < bins; ++j) {
      const double c = static_cast<double>(counts[j]), x = centres[j];
      zeroth_[j + 1] = zeroth_[j] + c;
      first_[j + 1] = first_[j] + c * x;
      second_[j + 1] = second_[j] + c * x * x;
    }
  }

  double error(std::size_t candidate) const {
    const float scale = how_.max_bound() / centres_[candidate];
    const std::size_t bins = centres_.size();
    double sum = 0;
    for (std::size_t begin = 0; begin < bins;) {
      const float level = std::min(std::nearbyint(centres_[begin] * scale), how_.max_bound());
      const std::size_t end = level == how_.max_bound() ? bins : end_of(level, scale, candidate, begin);
      const double r = level / scale;
      sum += (second_[end] - second_[begin]) - 2 * r * (first_[end] - first_[begin]) +
             r * r * (zeroth_[end] - zeroth_[begin]);
      begin = end;
    }
    return sum;
  }

 private:
  // The first bin behind `begin` whose centre rounds above `level`: a guess by proportion, then the rounding itself.
  std::size_t end_of(float level, float scale, std::size_t candidate, std::size_t begin) const {
    const double guess = (static_cast<double>(level) + 0.5) * (static_cast<double>(candidate) + 0.5) / how_.max_bound();
    auto end = std::clamp(static_cast<std::size_t>(guess + 0.5), begin + 1, centres_.size());
    const auto above = [&](std::size_t j) { return std::nearbyint(centres_[j] * scale) > level; };
    while (end > begin + 1 && above(end - 1)) --end;
    while (end < centres_.size() && !above(end)) ++end;
    return end;
  }

  std::span<const float> centres_;
  FakeQuant how_;
  std::vector<double> zeroth_, first_, second_;
};

void check(const AmaxOptions& o, std::size_t bins) {
  require(o.num_bits >= 2 && o.num_bits <= 16, "{} bits: 2 to 16 were expected", o.num_bits);
  require(o.percentile > 0 && o.percentile <= 100, "percentile {}: above 0, at most 100 was expected", o.percentile);
  require(o.start_bin >= 1 && static_cast<std::size_t>(o.start_bin) < bins,
          "start bin {}: 1 to {} were expected, as the histogram has {} bins", o.start_bin, bins - 1, bins);
  require(o.stride >= 1 && static_cast<std::size_t>(o.stride) <= bins,
          "a stride of {}: 1 to {} were expected, as the histogram has {} bins", o.stride, bins, bins);
}

}  // namespace

const char* name_of(Rule rule) {
  constexpr const char* names[] = {"max", "entropy", "mse", "percentile"};
  return names[static_cast<int>(rule)];
}

int entropy_edge(std::span<const std::int64_t> counts, const AmaxOptions& o) {
  check(o, counts.size());
  std::vector<std::int64_t> bins(counts.begin(), counts.end());
  if (bins.size() > 1) bins[0] = bins[1];
  const std::int64_t levels = std::int64_t{1} << (o.num_bits - 1 + (o.is_unsigned ? 1 : 0));
  const EntropyScan scan(bins, levels);
  const auto last = static_cast<int>(bins.size());
  if (std::ranges::all_of(bins, [](std::int64_t c) { return c == 0; })) return last;  // all mass was in bin 0
  double best = kInfinity;
  std::vector<double> scanned;
  for (int i = o.start_bin; i <= last; i += o.stride) {
    scanned.push_back(scan.divergence(i));
    best = std::min(best, scanned.back());
  }
  // The scan is right to about 1e-12 (its sums hold 16 digits of numbers of the size log T); 1e-9 misses no rival.
  int chosen = o.start_bin + static_cast<int>(scanned.size() - 1) * o.stride;
  double smallest = kInfinity;
  for (std::size_t k = 0; k < scanned.size(); ++k) {
    if (!(scanned[k] <= best + 1e-9)) continue;
    const int i = o.start_bin + static_cast<int>(k) * o.stride;
    const double divergence = literal_divergence(bins, i, levels);
    if (divergence <= smallest) smallest = divergence, chosen = i;
  }
  return chosen;
}

int mse_bin(std::span<const std::int64_t> counts, std::span<const float> centres, const AmaxOptions& o) {
  check(o, counts.size());
  const FloatEnvironment environment;
  const FakeQuant how{o.num_bits, o.is_unsigned, true};
  const ErrorScan scan(counts, centres, how);
  double best = kInfinity;
  std::vector<double> scanned;
  const auto step = static_cast<std::size_t>(o.stride), start = static_cast<std::size_t>(o.start_bin);
  for (std::size_t i = start; i < counts.size(); i += step) {
    scanned.push_back(scan.error(i));
    best = std::min(best, scanned.back());
  }
  // Cancellation in the scan: 16 digits of the energy sum(c x^2), which is at most ~10^5 times an 8-bit error.
  double energy = 0;
  for (std::size_t j = 0; j < counts.size(); ++j) {
    energy += static_cast<double>(counts[j]) * static_cast<double>(centres[j]) * static_cast<double>(centres[j]);
  }
  const double margin = 1e-13 * energy;
  std::size_t chosen = start;
  double smallest = kInfinity;
  for (std::size_t k = 0; k < scanned.size(); ++k) {
    if (!(scanned[k] <= best + margin)) continue;
    const double error = literal_error(counts, centres, start + k * step, how);
    if (error < smallest) smallest = error, chosen = start + k * step;
  }
  return static_cast<int>(chosen);
}

// The shares are added up one by one in double, as the field's calibrators do: where a share is p exactly, the rounding
// of this sum decides, and there the next occupied bin may be far.
int percentile_bin(std::span<const std::int64_t> counts, double percentile) {
  std::int64_t total = 0;
  for (const std::int64_t c : counts) total += c;
  double cumulative = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    cumulative += static_cast<double>(counts[i]) / static_cast<double>(total);
    if (cumulative >= percentile / 100) return static_cast<int>(i);
  }
  return static_cast<int>(counts.size()) - 1;
}

float choose_amax(const Histogram& histogram, Rule rule, const AmaxOptions& options) {
  if (rule == Rule::max || histogram.amax() == 0) return histogram.amax();
  check(options, static_cast<std::size_t>(histogram.bins()));
  const std::vector<std::int64_t> counts = histogram.magnitudes();
  if (rule == Rule::percentile) return histogram.edge(percentile_bin(counts, options.percentile));
  if (rule == Rule::entropy) return histogram.edge(entropy_edge(counts, options));
  std::vector<float> centres(counts.size());
  for (std::size_t i = 0; i < centres.size(); ++i) centres[i] = histogram.centre(static_cast<int>(i));
  return histogram.centre(mse_bin(counts, centres, options));
}

}  // namespace octet::calib
