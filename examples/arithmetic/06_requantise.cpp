// 06  From the 32-bit sum to 8 bits: one float multiplication, or an integer multiplier and a shift.
//     Rules 6 and 7 of calib/QUANTIZATION.md.
//
//     m = step_in * step_w / step_out,   q = rne(clamp(fl(fl(sum) * m), -127, 127))
//
// Conversion and multiplication are what IEEE 754 defines them to be, on every machine. With integers, m becomes
// M * 2^-n with a 31-bit M; the 64-bit product must be rounded back, and there are three usual ways, which disagree on
// ties: once, halves up; once, halves to even; twice (the product's upper half, then the shift), halves up each time.
#include <cmath>

#include "examples/common/lesson.h"
#include "examples/common/terminal.h"
#include "runtime/arithmetic.h"
#include "runtime/error.h"

using namespace octet;
using examples::Svg;

namespace {

struct FixedPoint {
  std::int64_t multiplier;  // M, 2^30 <= M < 2^31
  int shift;                // n
};

FixedPoint fixed_point(double m) {
  int exponent = 0;
  const double fraction = std::frexp(m, &exponent);  // m = fraction * 2^exponent, fraction in [0.5, 1)
  const auto whole = static_cast<std::int64_t>(std::nearbyint(std::ldexp(fraction, 31)));
  return whole == std::int64_t{1} << 31 ? FixedPoint{whole / 2, 30 - exponent} : FixedPoint{whole, 31 - exponent};
}

// x / 2^n, rounded to the nearest; a half goes up, or to the even integer.
std::int64_t shift_up(std::int64_t x, int n) { return (x + (std::int64_t{1} << (n - 1))) >> n; }
std::int64_t shift_even(std::int64_t x, int n) {
  const std::int64_t rounded = shift_up(x, n), rest = x & ((std::int64_t{1} << n) - 1);
  return rest == std::int64_t{1} << (n - 1) ? rounded & ~std::int64_t{1} : rounded;
}

std::int64_t limit(std::int64_t q) { return q < -127 ? -127 : q > 127 ? 127 : q; }

struct Results {
  std::int64_t one_multiply, up, even, twice;
  bool agree() const { return one_multiply == up && up == even && even == twice; }
};

Results requantise(std::int32_t sum, float m, const FixedPoint& f) {
  const std::int64_t product = sum * f.multiplier;
  return {arithmetic::requantise(sum, m, -127, 127, 0), limit(shift_up(product, f.shift)),
          limit(shift_even(product, f.shift)), limit(shift_up(shift_up(product, 31), f.shift - 31))};
}

Svg lanes() {
  Svg svg(560, 170, "One multiplication is three exact definitions; the integer path has choices");
  const auto box = [&](double x, double y, double w, const char* text, const char* fill) {
    svg.rect(x, y, w, 32, fill, Svg::kInk).text(x + w / 2, y + 20, text, Svg::Align::middle);
  };
  box(10, 20, 90, "int32 sum", "#ffffff"), box(130, 20, 90, "to float", "#e6eef7"), box(250, 20, 90, "* m", "#e6eef7");
  box(370, 20, 80, "clamp", "#e6eef7"), box(480, 20, 70, "rne", "#e6eef7");
  box(10, 100, 90, "int32 sum", "#ffffff"), box(130, 100, 90, "* M, 64 bits", "#fbeadb");
  box(250, 100, 90, "round how?", "#f6d5cf"), box(370, 100, 80, "shift", "#fbeadb"),
      box(480, 100, 70, "round how?", "#f6d5cf");
  for (const double x : {100.0, 220.0, 340.0, 450.0}) svg.line(x, 36, x + 30, 36).line(x, 116, x + 30, 116);
  return svg.text(10, 76, "IEEE 754 says what each of these is")
      .text(10, 156, "every library and instruction set chose");
}

}  // namespace

int main(int argc, char** argv) {
  float step_in = 0.25f, step_w = 0.03125f, step_out = 0.5f;
  std::vector<int> sums{6771, -6771, 32, 96, 160, -32, 31, 10000};
  examples::Lesson lesson("06_requantise", "One float multiplication against an integer multiplier and a shift");
  lesson.option("--step-in", step_in, "");
  lesson.option("--step-w", step_w, "");
  lesson.option("--step-out", step_out, "");
  lesson.option("--sums", sums, "32-bit accumulators");
  lesson.picture(lanes);
  return lesson.run(argc, argv, [&] {
    require(step_in > 0 && step_w > 0 && step_out > 0, "steps must be positive: {}, {}, {}", step_in, step_w, step_out);
    const float m = arithmetic::multiplier(step_in, step_w, step_out);
    const double real = static_cast<double>(step_in) * step_w / step_out;
    require(real >= 1e-8 && real < 0.5, "step_in * step_w / step_out is {}; this program takes 1e-8 to 0.5", real);
    const FixedPoint f = fixed_point(real);
    fmt::print("m = {}\nM * 2^-n = {} * 2^-{} = {:.12g}\n\n", m, f.multiplier, f.shift,
               std::ldexp(static_cast<double>(f.multiplier), -f.shift));
    examples::Table table({"sum", "sum * m", "float multiply", "M, half up", "M, half to even", "M, twice"});
    for (const int sum : sums) {
      const Results r = requantise(sum, m, f);
      table.add(examples::cells(sum, examples::fixed(sum * real, 6), r.one_multiply, r.up, r.even, r.twice));
    }
    int differ = 0;
    for (int sum = -50000; sum <= 50000; ++sum) differ += !requantise(sum, m, f).agree();
    fmt::print("{}\nOf the sums -50000 to 50000 the four disagree on {}.\n", table.str(), differ);
  });
}
