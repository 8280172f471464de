// 04  A dot product of 8-bit integers: why its sum is kept in 32 bits, and what 16 would do to it.
//     Rules 4 and 5 of calib/QUANTIZATION.md.
//
// One product of two 8-bit integers has up to 15 bits, so the sum of three of them may not fit into 16 any more. The
// bound A = |bias| + sum |w| * 127 says for given weights how far the sum can go for any input.
#include <algorithm>
#include <cstdlib>

#include "examples/common/lesson.h"
#include "examples/common/terminal.h"
#include "runtime/error.h"

using namespace octet;
using examples::Svg;

namespace {

constexpr std::int64_t kTop16 = 32767, kTop32 = 2147483647;

std::int64_t saturate(std::int64_t x, std::int64_t top) { return std::clamp(x, -top - 1, top); }

// The running sum kept three ways: in 64 bits, wrapped to 16, saturated at 16.
struct Sum {
  std::int64_t exact;
  std::int16_t wrapped;
  std::int64_t saturated;
  void add(std::int64_t product) {
    exact += product;
    wrapped = static_cast<std::int16_t>(static_cast<std::uint16_t>(wrapped + static_cast<std::int32_t>(product)));
    saturated = saturate(saturated + product, kTop16);
  }
};

Svg drawing(const std::vector<Sum>& sums) {
  Svg svg(560, 260, "The running sum in 32 bits leaves the band that 16 bits can hold");
  double reach = 40000;
  for (const Sum& s : sums) reach = std::max(reach, 1.1 * static_cast<double>(std::llabs(s.exact)));
  const auto y_at = [&](double v) { return 130 - 110 * v / reach; };
  const auto x_at = [&](std::size_t i) { return 60 + 440 * static_cast<double>(i) / static_cast<double>(sums.size()); };
  svg.rect(60, y_at(kTop16), 480, y_at(-kTop16) - y_at(kTop16), "#eeeeee")
      .text(64, y_at(kTop16) + 14, "16 bits end here");
  std::vector<std::pair<double, double>> exact, wrapped, saturated;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    exact.emplace_back(x_at(i), y_at(static_cast<double>(sums[i].exact)));
    wrapped.emplace_back(x_at(i), y_at(sums[i].wrapped));
    saturated.emplace_back(x_at(i), y_at(static_cast<double>(sums[i].saturated)));
  }
  svg.path(wrapped, Svg::kRed).path(saturated, Svg::kGrey, 2).path(exact, Svg::kOrange, 2);
  return svg.text(64, 250, "orange: 32 bits, red: 16 bits wrapping, grey: 16 bits saturating");
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<int> q{50, 100, -25, 127, 90, 120, -80, 60}, w{127, 120, 40, 100, 127, -110, 127, -127};
  int bias = 40000;
  examples::Lesson lesson("04_integer_dot_product", "A dot product in int8, its sum in 32 and in 16 bits");
  lesson.option("--inputs", q, "integers -127 to 127");
  lesson.option("--weights", w, "as many, -127 to 127");
  lesson.option("--bias", bias, "in units of step_in * step_w");
  std::vector<Sum> sums;
  lesson.picture([&] { return drawing(sums); });
  return lesson.run(argc, argv, [&] {
    require(q.size() == w.size(), "--weights: {} numbers for {} inputs", w.size(), q.size());
    for (const int v : q) require(std::abs(v) <= 127, "--inputs: {} is outside of -127..127", v);
    for (const int v : w) require(std::abs(v) <= 127, "--weights: {} is outside of -127..127", v);
    Sum sum{0, 0, 0};
    std::int64_t bound = std::llabs(bias), first_broken = -1;
    examples::Table table({"k", "q", "w", "q * w", "int32 sum", "int16 wrapped", "int16 saturated"});
    for (std::size_t k = 0; k < q.size(); ++k) {
      const std::int64_t product = std::int64_t{q[k]} * w[k];
      sum.add(product), sums.push_back(sum), bound += std::llabs(w[k]) * 127;
      if (first_broken < 0 && sum.exact != saturate(sum.exact, kTop16)) first_broken = static_cast<std::int64_t>(k);
      table.add(examples::cells(k, q[k], w[k], product, sum.exact, sum.wrapped, sum.saturated));
    }
    fmt::print("{}\n", table.str());
    fmt::print("{}\n\n", first_broken < 0 ? "Every partial sum fits into 16 bits, by luck."
                                          : fmt::format("From k = {} on, 16 bits do not hold the sum.", first_broken));
    const std::int64_t clipped = saturate(bias, kTop16);
    fmt::print("bias            {}\nbias in 16 bits {}   off by {}\n", bias, clipped, bias - clipped);
    fmt::print("sum + bias      {}\nwith that bias  {}\n\n", sum.exact + bias, sum.exact + clipped);
    fmt::print("bound A         {} of any input with these weights\nint32 holds     {}: {}\n", bound, kTop32,
               bound <= kTop32 ? "no input can overflow it" : "refused, this layer stays in float");
    fmt::print("deepest layer   {} inputs with all weights at 127 and this bias\n",
               (kTop32 - std::llabs(bias)) / (127 * 127));
  });
}
