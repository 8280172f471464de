// The lessons with random numbers: what they print is computed again here, in int64 and double, from the formulas of
// calib/QUANTIZATION.md. Nothing of runtime/arithmetic.h or calib/ is called. A double holds the product of two floats
// exactly, so one conversion to float is IEEE's rounding.
#include <algorithm>
#include <cmath>
#include <random>

#include "models/catdog/catdog.h"
#include "models/loaded_model.h"
#include "models/preprocess.h"
#include "runtime/hash.h"
#include "runtime/io/image.h"
#include "tests/lesson_output.h"
#include "tests/photos.h"
#include "tests/qgraph_interpreter.h"

using namespace octet::testing;

namespace {

constexpr int kRuns = kSanitised ? 3 : 12;

class Numbers {
 public:
  explicit Numbers(std::uint32_t seed) : random_(seed) {}
  std::int64_t integer(std::int64_t lo, std::int64_t hi) {
    return lo + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(hi - lo + 1));
  }
  float real(float lo, float hi) { return lo + (hi - lo) * static_cast<float>(random_() % 1000003) / 1000003.0f; }
  std::vector<float> reals(int count, float lo, float hi) {
    std::vector<float> values;
    for (int i = 0; i < count; ++i) values.push_back(real(lo, hi));
    return values;
  }
  std::vector<std::int64_t> integers(int count, std::int64_t lo, std::int64_t hi) {
    std::vector<std::int64_t> values;
    for (int i = 0; i < count; ++i) values.push_back(integer(lo, hi));
    return values;
  }

 private:
  std::mt19937_64 random_;
};

double fl(double x) { return static_cast<double>(static_cast<float>(x)); }
double rne(double x) { return std::nearbyint(x); }
double within(double x, double lo, double hi) { return std::min(std::max(x, lo), hi); }
double amax_of(const std::vector<float>& values) {
  double amax = 0;
  for (const float v : values) amax = std::max(amax, std::fabs(static_cast<double>(v)));
  return amax;
}
double step_of(double amax) { return fl(amax / 127); }
double inverse_of(double step) { return fl(1 / step); }
double quantised(double x, double step, double lo = -127, double hi = 127, double zero = 0) {
  return rne(within(fl(x * inverse_of(step)), lo - zero, hi - zero)) + zero;
}
double requantised(double sum, double m, double lo = -127, double hi = 127) {
  return rne(within(fl(fl(sum) * m), lo, hi));
}
double step_of_weights(double amax, double bias, double step_in) {
  return fl(std::max(amax / 127, std::fabs(bias) / (step_in * 536870912.0)));
}

void check_equal(const std::vector<double>& got, const std::vector<double>& wanted) {
  REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK_MESSAGE(got[i] == wanted[i], "number " << i);
}
// A number that was printed as the shortest text of a float.
double as_float(const std::string& cell) { return static_cast<double>(std::strtof(cell.c_str(), nullptr)); }

}  // namespace

TEST_CASE("01: integers and what they stand for") {
  Numbers n(1);
  for (int run = 0; run < kRuns; ++run) {
    const auto x = n.reals(10, -3, 3);
    const float amax = n.real(0.5f, 4);
    const std::string out = lesson("01_scale_and_rounding", {"--values", list(x), "--amax", fmt::format("{}", amax)});
    for (int part = 0; part < 2; ++part) {
      const double step = step_of(part == 0 ? amax : fl(amax * 0.75));
      const auto columns = table(out, part);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double q = quantised(x[i], step);
        CHECK(real(columns[2][i]) == q);
        CHECK(as_float(columns[3][i]) == fl(step * q));
      }
    }
  }
}

TEST_CASE("02: symmetric, affine and 7-bit layouts") {
  Numbers n(2);
  for (int run = 0; run < kRuns; ++run) {
    const auto x = n.reals(8, run % 3 == 0 ? 0.5f : -2, run % 3 == 1 ? -0.5f : 5);
    const std::string out = lesson("02_symmetric_and_affine", {"--values", list(x)});
    const double low = std::min(0.0, double{*std::ranges::min_element(x)});
    const double high = std::max(0.0, double{*std::ranges::max_element(x)});
    for (int kind = 0; kind < 3; ++kind) {
      const double hi = kind == 1 ? 255 : 127, lo = kind == 0 ? -127 : 0;
      const double step = kind == 0 ? step_of(amax_of(x)) : fl((high - low) / hi);
      const double zero = kind == 0 ? 0 : within(-rne(low / step), lo, hi);
      const char* names[] = {"symmetric: step", "affine: step", "reduce_range: step"};
      const auto printed = row(out, names[kind]);
      CHECK(fl(printed[0]) == step);
      CHECK(printed[1] == zero);
      const auto columns = table(out, kind);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double q = quantised(x[i], step, lo, hi, zero);
        CHECK(real(columns[1][i]) == q);
        CHECK(as_float(columns[2][i]) == fl(step * (q - zero)));
      }
    }
  }
}

TEST_CASE("03: sums of channels with one step and with their own") {
  Numbers n(3);
  for (int run = 0; run < kRuns; ++run) {
    const auto x = n.reals(5, -2, 2);
    auto w = n.reals(10, -1, 1);
    for (std::size_t i = 5; i < 10; ++i) w[i] *= 0.01f;
    const std::string out = lesson("03_per_tensor_and_per_channel", {"--inputs", list(x), "--weights", list(w)});
    for (int part = 0; part < 2; ++part) {
      const auto columns = table(out, part);
      for (std::size_t c = 0; c < 2; ++c) {
        const std::vector<float> own(w.begin() + 5 * static_cast<int>(c), w.begin() + 5 * static_cast<int>(c) + 5);
        const double step = step_of(amax_of(part == 0 ? w : own)), step_in = step_of(amax_of(x));
        std::int64_t sum = 0;
        for (std::size_t k = 0; k < 5; ++k) {
          sum +=
              static_cast<std::int64_t>(quantised(own[k], step)) * static_cast<std::int64_t>(quantised(x[k], step_in));
        }
        CHECK(as_float(columns[1][c]) == step);
        CHECK(integer(columns[2][c]) == sum);
        CHECK(std::fabs(real(columns[3][c]) - static_cast<double>(sum) * step * step_in) <= 1e-6);
      }
    }
  }
}

TEST_CASE("04: sums in 64, 32 and 16 bits") {
  Numbers n(4);
  for (int run = 0; run < kRuns; ++run) {
    const auto q = n.integers(12, -127, 127), w = n.integers(12, -127, 127);
    const std::int64_t bias = n.integer(-100000, 100000);
    const std::string out = lesson("04_integer_dot_product",
                                   {"--inputs", list(q), "--weights", list(w), "--bias", fmt::format("{}", bias)});
    const auto columns = table(out);
    std::int64_t sum = 0, saturated = 0, bound = std::llabs(bias);
    for (std::size_t k = 0; k < q.size(); ++k) {
      sum += q[k] * w[k];
      saturated = std::clamp<std::int64_t>(saturated + q[k] * w[k], -32768, 32767);
      bound += 127 * std::llabs(w[k]);
      std::int64_t wrapped = ((sum % 65536) + 65536) % 65536;
      if (wrapped >= 32768) wrapped -= 65536;
      CHECK(integer(columns[4][k]) == sum);
      CHECK(integer(columns[5][k]) == wrapped);
      CHECK(integer(columns[6][k]) == saturated);
    }
    CHECK(row(out, "sum + bias")[0] == static_cast<double>(sum + bias));
    CHECK(row(out, "with that bias")[0] == static_cast<double>(sum + std::clamp<std::int64_t>(bias, -32768, 32767)));
    CHECK(row(out, "bound A")[0] == static_cast<double>(bound));
  }
}

TEST_CASE("05: biases and the zero-point correction") {
  Numbers n(5);
  for (int run = 0; run < kRuns; ++run) {
    const float step_in = n.real(0.001f, 0.1f);
    const auto w = n.reals(6, -1, 1);
    auto biases = n.reals(4, -5, 5);
    biases.push_back(1e7f * n.real(1, 9));  // rule 3 widens the step
    const auto q = n.integers(6, 0, 255);
    const std::int64_t zero = n.integer(0, 255);
    const std::string out =
        lesson("05_bias", {"--step-in", fmt::format("{}", step_in), "--zero", fmt::format("{}", zero), "--weights",
                           list(w), "--biases", list(biases), "--inputs", list(q)});
    const auto columns = table(out);
    for (std::size_t i = 0; i < biases.size(); ++i) {
      const double step_w = step_of_weights(amax_of(w), biases[i], step_in);
      CHECK(as_float(columns[1][i]) == step_w);
      CHECK(real(columns[3][i]) == rne(biases[i] / (double{step_in} * step_w)));
    }
    const double step_w = step_of_weights(amax_of(w), biases[0], step_in);
    const auto bias_q = static_cast<std::int64_t>(rne(biases[0] / (double{step_in} * step_w)));
    std::int64_t sum = bias_q, total = 0;
    for (std::size_t k = 0; k < w.size(); ++k) {
      const auto v = static_cast<std::int64_t>(quantised(w[k], step_w));
      sum += (q[k] - zero) * v, total += v;
    }
    CHECK(row(out, "sum (q - zero) * v + bias_q").back() == static_cast<double>(sum));
    CHECK(row(out, "sum q * v + B").back() == static_cast<double>(sum));
    CHECK(row(out, "B = bias_q - zero * sum v").back() == static_cast<double>(bias_q - zero * total));
  }
}

TEST_CASE("06: one float multiplication, and three roundings of a fixed-point product") {
  // p / d, rounded to the nearest, a half up or to even, by remainders instead of shifts.
  const auto divide = [](std::int64_t p, std::int64_t d, bool even) {
    std::int64_t whole = p / d, rest = p % d;
    if (rest < 0) rest += d, --whole;
    const bool up = rest > d - rest || (rest == d - rest && (!even || whole % 2 != 0));
    return whole + (up ? 1 : 0);
  };
  Numbers n(6);
  for (int run = 0; run < kRuns; ++run) {
    const bool ties = run % 2 == 0;  // powers of two: m is exact, and halves occur
    const double m = ties ? std::ldexp(1.0, -static_cast<int>(n.integer(3, 8))) : double{n.real(0.0005f, 0.3f)};
    auto sums = n.integers(10, -100000, 100000);
    for (std::int64_t k = -3; k < 4 && ties; ++k) sums.push_back((2 * k + 1) * static_cast<std::int64_t>(0.5 / m));
    const std::string out = lesson("06_requantise", {"--step-in", fmt::format("{}", static_cast<float>(m)), "--step-w",
                                                     "1", "--step-out", "1", "--sums", list(sums)});
    const auto columns = table(out);
    int n_bits = 0;
    while (std::ldexp(m, n_bits) < 1073741824.0) ++n_bits;
    const auto multiplier = static_cast<std::int64_t>(rne(std::ldexp(m, n_bits)));
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const std::int64_t p = sums[i] * multiplier, d = std::int64_t{1} << n_bits;
      const auto limit = [](std::int64_t q) { return std::clamp<std::int64_t>(q, -127, 127); };
      CHECK(real(columns[2][i]) == requantised(static_cast<double>(sums[i]), m));
      CHECK(integer(columns[3][i]) == limit(divide(p, d, false)));
      CHECK(integer(columns[4][i]) == limit(divide(p, d, true)));
      const std::int64_t half = std::int64_t{1} << 31;
      CHECK(integer(columns[5][i]) == limit(divide(divide(p, half, false), d / half, false)));
    }
  }
}

TEST_CASE("07: folded weights and biases") {
  Numbers n(7);
  for (int run = 0; run < kRuns; ++run) {
    const auto w = n.reals(4, -1, 1), x = n.reals(4, -2, 2);
    const auto p = n.reals(5, -1, 1);  // bias, gamma, beta, mean; the variance is positive
    const float var = std::fabs(p[4]) + 0.01f;
    const auto arg = [](float v) { return fmt::format("{}", v); };
    const std::string out =
        lesson("07_fold_batch_norm", {"--inputs", list(x), "--weights", list(w), "--bias", arg(p[0]), "--gamma",
                                      arg(p[1]), "--beta", arg(p[2]), "--mean", arg(p[3]), "--var", arg(var)});
    const long double g = static_cast<long double>(p[1]) / std::sqrt(static_cast<long double>(var) + 1e-5f);
    const auto printed = row(out, "w' = w * g");
    REQUIRE(printed.size() == w.size());
    for (std::size_t k = 0; k < w.size(); ++k) {
      const double exact = static_cast<double>(w[k] * g);
      CHECK(std::fabs(fl(printed[k]) - exact) <= 0x1.0001p-24 * std::fabs(exact));  // one rounding to float
    }
    const double offset = static_cast<double>(p[0] * g + (p[2] - p[3] * g));
    CHECK(std::fabs(fl(row(out, "b' = b * g + (beta - mean * g) =")[0]) - offset) <=
          0x1.01p-24 * std::fabs(offset) + 1e-12);
    CHECK(out.find("folded twice             unchanged") != std::string::npos);
  }
}

TEST_CASE("08: a layer from floats to bytes") {
  Numbers n(8);
  for (int run = 0; run < kRuns; ++run) {
    const int side = 4 + 2 * (run % 3), inner = side - 2;
    const auto image = n.reals(side * side, -2, 2), w = n.reals(9, -1, 1);
    std::vector<float> norm = n.reals(5, -1, 1);
    norm[4] = 0.25f, norm[3] = 0, norm[2] = 1;  // something is left behind the ReLU
    const std::string out =
        lesson("08_one_layer", {"--image", list(image), "--weights", list(w), "--norm", list(norm)});
    const double g = norm[1] / std::sqrt(0.25 + static_cast<double>(1e-5f));
    std::vector<float> folded;
    for (const float v : w) folded.push_back(static_cast<float>(v * g));
    const auto bias = static_cast<float>(norm[0] * g + (norm[2] - norm[3] * g));
    const auto steps = row(out, "5. steps: image");
    const double step_in = step_of(amax_of(image)), step_w = step_of_weights(amax_of(folded), bias, step_in);
    CHECK(fl(steps[0]) == step_in);
    CHECK(fl(steps[1]) == step_w);
    const double step_out = fl(steps[2]);  // 1 / 127 of the largest of stage 3, which is printed with four decimals
    const auto relu = grid(out, "3. batch-norm");
    CHECK(std::fabs(step_out * 127 - *std::ranges::max_element(relu)) < 1e-3);
    std::vector<double> q, v, sums, bytes, pooled;
    for (const float x : image) q.push_back(quantised(x, step_in));
    for (const float x : folded) v.push_back(quantised(x, step_w));
    const double bias_q = rne(bias / (step_in * step_w)), m = fl(step_in * step_w / step_out);
    for (int i = 0; i < inner * inner; ++i) {
      double sum = bias_q;
      for (int k = 0; k < 9; ++k) {
        const int at = (i / inner + k / 3) * side + i % inner + k % 3;
        sum += q[static_cast<std::size_t>(at)] * v[static_cast<std::size_t>(k)];
      }
      sums.push_back(sum), bytes.push_back(requantised(sum, m, 0));
    }
    for (int y = 0; y < inner; y += 2) {
      for (int x = 0; x < inner; x += 2) {
        const auto at = [&](int dy, int dx) { return bytes[static_cast<std::size_t>((y + dy) * inner + x + dx)]; };
        pooled.push_back(std::max({at(0, 0), at(0, 1), at(1, 0), at(1, 1)}));
      }
    }
    check_equal(grid(out, "6. the image"), q);
    check_equal(grid(out, "7. folded"), v);
    check_equal(grid(out, "8. sums"), sums);
    check_equal(grid(out, "9. times"), bytes);
    check_equal(grid(out, "10. max-pool"), pooled);
    CHECK(out.find("12. the library agrees") != std::string::npos);
  }
}

namespace {

// The rules of "Choosing amax", word by word, over 16 + some bins and `levels` positive integers.
int literal_percentile(const std::vector<double>& counts, double total, double percent) {
  double seen = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    seen += counts[i];
    if (seen / total >= percent / 100 - 1e-12) return static_cast<int>(i);
  }
  return static_cast<int>(counts.size()) - 1;
}
int literal_mse(const std::vector<double>& counts, double width, int start, double levels) {
  int best = start;
  double least = INFINITY;
  const auto centre = [&](std::size_t i) { return width * (static_cast<double>(i) + 0.5); };
  for (std::size_t i = static_cast<std::size_t>(start); i < counts.size(); ++i) {
    double error = 0;
    for (std::size_t j = 0; j < counts.size(); ++j) {
      const double step = centre(i) / levels;
      const double fake = step * within(rne(centre(j) / step), -levels, levels);
      error += counts[j] * (fake - centre(j)) * (fake - centre(j));
    }
    if (error < least * (1 - 1e-12)) least = error, best = static_cast<int>(i);
  }
  return best;
}
int literal_entropy(std::vector<double> counts, int start, int levels) {
  counts[0] = counts[1];
  int best = start;
  double least = INFINITY;
  for (int i = start; i <= static_cast<int>(counts.size()); ++i) {
    std::vector<double> p(counts.begin(), counts.begin() + i), q(p.size(), 0);
    for (std::size_t j = p.size(); j < counts.size(); ++j) p.back() += counts[j];
    for (int level = 0; level < levels; ++level) {
      double sum = 0, occupied = 0;
      const auto of_level = [&](int j) { return j * levels / i == level; };
      for (int j = 0; j < i; ++j) {
        if (of_level(j))
          sum += counts[static_cast<std::size_t>(j)], occupied += counts[static_cast<std::size_t>(j)] > 0;
      }
      for (int j = 0; j < i; ++j) {
        if (of_level(j) && counts[static_cast<std::size_t>(j)] > 0) q[static_cast<std::size_t>(j)] = sum / occupied;
      }
    }
    double mass_p = 0, mass_q = 0, divergence = 0;
    for (std::size_t j = 0; j < p.size(); ++j) mass_p += p[j], mass_q += q[j];
    for (std::size_t j = 0; j < p.size(); ++j) {
      if (p[j] > 0) divergence += q[j] > 0 ? p[j] / mass_p * std::log(p[j] / mass_p / (q[j] / mass_q)) : INFINITY;
    }
    if (divergence <= least * (1 + 1e-12)) least = std::min(least, divergence), best = i;
  }
  return best;
}

}  // namespace

TEST_CASE("09: the histogram and the four rules") {
  Numbers n(9);
  for (int run = 0; run < kRuns; ++run) {
    std::vector<float> x;
    for (int i = 0; i < 200; ++i) x.push_back(n.real(-1, 1) + n.real(-1, 1) + n.real(-1, 1));
    x.back() = n.real(2.5f, 4);
    const std::string out = lesson("09_observers_and_rules", {"--values", list(x)});
    // The first batch sets the width: the least float for which its largest value still falls into the 16th bin.
    const double first_amax = amax_of({x.begin(), x.begin() + 50});
    double width = fl(first_amax / 16);
    while (fl(first_amax * fl(1 / width)) >= 16) width = std::nextafter(static_cast<float>(width), 1e30f);
    std::vector<double> counts(16, 0);
    for (std::size_t first = 0; first < x.size(); first += 50) {  // a batch adds bins; its largest value is in the last
      const auto from = x.begin() + static_cast<std::ptrdiff_t>(first);
      const std::vector<float> batch(from, from + 50);
      counts.resize(std::max(counts.size(), static_cast<std::size_t>(std::ceil(amax_of(batch) / width))), 0);
      for (const double v : batch)
        ++counts[std::min(static_cast<std::size_t>(std::fabs(v) / width), counts.size() - 1)];
    }
    double low = 0, high = 0;
    for (std::size_t b = 0; b < 4; ++b) {
      const auto [least, greatest] = std::ranges::minmax(std::span(x).subspan(50 * b, 50));
      low = b == 0 ? double{least} : fl(low + fl(0.5 * fl(least - low)));
      high = b == 0 ? double{greatest} : fl(high + fl(0.5 * fl(greatest - high)));
      const auto batch = numbers_in(lines_of(out)[3 + b]);
      CHECK(std::fabs(batch[1] - double{least}) < 6e-6);
      CHECK(std::fabs(batch[2] - double{greatest}) < 6e-6);
      CHECK(std::fabs(batch[4] - low) < 6e-6);
      CHECK(std::fabs(batch[5] - high) < 6e-6);
    }
    const auto lines = lines_of(out.substr(out.find("bin   from")));
    std::size_t bin_at = 0;  // a line holds one bin, or those without values up to the bin that it ends with
    for (std::size_t i = 1; bin_at < counts.size(); ++i) {
      const auto line = numbers_in(lines[i]);
      REQUIRE(line[0] == static_cast<double>(bin_at));
      const std::size_t last = line.size() > 3 ? static_cast<std::size_t>(line[3]) : bin_at;
      REQUIRE((last >= bin_at && last < counts.size()));
      for (; bin_at <= last; ++bin_at) CHECK(line[2] == counts[bin_at]);
    }
    CHECK(fl(row(out, "max ")[0]) == amax_of(x));
    const auto edge = [&](int i) { return fl(width * i); };
    CHECK(fl(row(out, "percentile ")[0]) == edge(literal_percentile(counts, 200, 99)));
    CHECK(fl(row(out, "entropy ")[0]) == edge(literal_entropy(counts, 8, 8)));
    const int bin = literal_mse(counts, width, 8, 7);
    CHECK(std::fabs(row(out, "mse ")[0] - width * (bin + 0.5)) < 1e-6);
  }
}

TEST_CASE("10: fake quantisation and integers") {
  Numbers n(10);
  for (int run = 0; run < kRuns; ++run) {
    const auto x = n.reals(16, -2, 2), w = n.reals(16, -1, 1);
    const float bias = n.real(-1, 1), amax = n.real(1, 6);
    const std::string out =
        lesson("10_qdq_equals_integers", {"--inputs", list(x), "--weights", list(w), "--bias", fmt::format("{}", bias),
                                          "--amax-out", fmt::format("{}", amax), "--layers", "20"});
    const double step_in = step_of(amax_of(x)), step_w = step_of_weights(amax_of(w), bias, step_in);
    double sum = rne(bias / (step_in * step_w)), simulated = bias;
    const auto fake = [](double v, double range) {
      const double scale = fl(127 / range);
      return fl(within(rne(fl(v * scale)), -127, 127) / scale);
    };
    for (std::size_t k = 0; k < x.size(); ++k) {
      sum += quantised(x[k], step_in) * quantised(w[k], step_w);
      simulated += fake(x[k], amax_of(x)) * fake(w[k], amax_of(w));
    }
    CHECK(row(out, "integers  sum")[0] == sum);
    CHECK(row(out, "integers  sum").back() == requantised(sum, fl(step_in * step_w / step_of(amax))));
    CHECK(row(out, "floats    sum").back() == rne(within(simulated * (127.0 / amax), -127, 127)));
  }
}

TEST_CASE("11: sums of integers with two steps") {
  const auto sixteen_bits = [](double x) {
    int exponent = 0;
    const double fraction = std::frexp(x, &exponent);
    return std::ldexp(rne(std::ldexp(fraction, 16)), exponent - 16);
  };
  Numbers n(11);
  for (int run = 0; run < kRuns; ++run) {
    const auto a = n.integers(8, -127, 127), b = n.integers(8, -127, 127);
    const auto steps = n.reals(3, 0.01f, 0.1f);
    const auto arg = [&](std::size_t i) { return fmt::format("{}", steps[i]); };
    const std::string out = lesson("11_residual_add", {"--a", list(a), "--b", list(b), "--step-a", arg(0), "--step-b",
                                                       arg(1), "--step-out", arg(2)});
    const double m_a = sixteen_bits(double{steps[0]} / steps[2]), m_b = sixteen_bits(double{steps[1]} / steps[2]);
    CHECK(fl(row(out, "M_a =")[0]) == m_a);
    CHECK(fl(row(out, "M_b =")[0]) == m_b);
    const auto columns = table(out);
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double sum = fl(static_cast<double>(a[i]) * m_a + static_cast<double>(b[i]) * m_b);
      CHECK(real(columns[4][i]) == rne(within(sum, -127, 127)));
    }
    CHECK(row(out, "  with 16 bits of M")[0] == 0);
  }
}

TEST_CASE("12: a sparse convolution is the dense one, read at the sites") {
  Numbers n(12);
  for (int run = 0; run < kRuns; ++run) {
    std::vector<std::int64_t> sites;
    for (std::int64_t cell = 0; cell < 25; ++cell) {
      if (n.integer(0, 2) == 0) sites.push_back(cell);
    }
    if (sites.empty()) sites.push_back(12);
    const auto x = n.reals(static_cast<int>(sites.size()), -2, 2), w = n.reals(9, -1, 1);
    const float bias = n.real(-1, 1), amax = n.real(1, 6);
    const std::string out =
        lesson("12_sparse_convolution", {"--sites", list(sites), "--features", list(x), "--weights", list(w), "--bias",
                                         fmt::format("{}", bias), "--amax-out", fmt::format("{}", amax)});
    const double step_in = step_of(amax_of(x)), step_w = step_of_weights(amax_of(w), bias, step_in);
    double dense[7][7] = {};  // with a border of zeros
    for (std::size_t i = 0; i < sites.size(); ++i) dense[sites[i] / 5 + 1][sites[i] % 5 + 1] = quantised(x[i], step_in);
    std::vector<double> sums, outputs;
    double pairs = 0;
    for (const std::int64_t cell : sites) {
      double sum = rne(bias / (step_in * step_w));
      for (int k = 0; k < 9; ++k) {
        const std::int64_t y = cell / 5 + k / 3 - 1, column = cell % 5 + k % 3 - 1;
        sum += quantised(w[static_cast<std::size_t>(k)], step_w) * dense[y + 1][column + 1];
        pairs += y >= 0 && y < 5 && column >= 0 && column < 5 && std::ranges::count(sites, y * 5 + column) > 0;
      }
      sums.push_back(sum), outputs.push_back(requantised(sum, fl(step_in * step_w / step_of(amax))));
    }
    CHECK(row(out, "1. The rulebook:")[0] == pairs);
    check_equal(row(out, "sums "), sums);
    check_equal(row(out, "outputs q"), outputs);
  }
}

TEST_CASE("13: every hash of the network is that of an interpreter") {
  using namespace octet;
  if (kSanitised) {
    MESSAGE("skipped under the sanitisers: half a minute of interpreting; test_same_bytes compares there");
    return;
  }
  const TempFolder folder;
  const std::string path = folder / "photo.bmp";
  write_photo(path, 13);
  const std::string out = lesson("13_whole_network", {path});
  const models::LoadedModel model =
      models::load_model("catdog", {.weights = fs::path(OCTET_SOURCE_DIR) / "models/catdog/catdog.safetensors",
                                    .ranges = fs::path(OCTET_SOURCE_DIR) / "models/catdog/ranges.json"});
  std::vector<std::uint8_t> pixels(224 * 224 * 3);
  models::preprocess(load_image(path), model.preprocess, pixels);
  test::Values input;
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t i = 0; i < 224 * 224; ++i) input.real.push_back(pixels[i * 3 + c]);
  }
  input.bound.assign(input.real.size(), 0);
  const auto edges = test::Interpreter(model.network, 1).run(input);
  int compared = 0;
  for (const QNode& node : model.network.nodes) {
    const auto& q = edges[static_cast<std::size_t>(node.output)].q;
    if (q.empty()) continue;
    Fnv1a hash;
    for (const std::int32_t v : q) hash.add(static_cast<std::uint8_t>(v));
    CAPTURE(node.name);
    CHECK(out.find(hex(hash.value())) != std::string::npos);
    ++compared;
  }
  CHECK(compared >= 12);
  // and every output that the lesson computed by hand is the kernel's
  int by_hand = 0;
  for (const std::string& line : lines_of(out)) {
    const std::size_t arrow = line.find("-> "), says = line.find("the kernel says ");
    if (says == std::string::npos) continue;
    CHECK(integer(line.substr(arrow + 3)) == integer(line.substr(says + 16)));
    ++by_hand;
  }
  CHECK(by_hand == 6);
}
