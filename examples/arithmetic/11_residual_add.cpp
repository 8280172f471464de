// 11  Adding two activations that have different steps.
//     Rule 11 of calib/QUANTIZATION.md.
//
//     q = rne(clamp(fl(a * M_a + b * M_b), -127, 127)),   M = step / step_out rounded to 16 significant bits
//
// |a| has at most 8 bits, so a * M has at most 24: exact in a float. One rounding is left, that of the +, and a fused
// multiply-add (which skips the rounding of a product) gives the same. With all 24 bits of M it does not.
#include <cmath>

#include "examples/common/lesson.h"
#include "examples/common/terminal.h"
#include "runtime/arithmetic.h"
#include "runtime/error.h"

using namespace octet;
using examples::Svg;

namespace {

float step_a = 0.02f, step_b = 0.05f, step_out = 0.03f;

int add(int a, int b, float m_a, float m_b) {
  const float sum = static_cast<float>(a) * m_a + static_cast<float>(b) * m_b;
  return arithmetic::round_even(arithmetic::clamp(sum, -127, 127));
}

// Of all 255 * 255 pairs, those for which the fused and the plain sum are different floats.
int differing_pairs(float m_a, float m_b) {
  int differ = 0;
  for (int a = -127; a <= 127; ++a) {
    for (int b = -127; b <= 127; ++b) {
      const float x = static_cast<float>(a), y = static_cast<float>(b);
      differ += x * m_a + y * m_b != std::fma(x, m_a, y * m_b);
    }
  }
  return differ;
}

// Three rulers over the same reals: the marks of a, of b and of the output do not line up.
Svg rulers() {
  Svg svg(560, 170, "Three grids of one real axis: the two inputs' and the output's");
  const double widest = std::max({step_a, step_b, step_out});
  const auto draw = [&](double y, float step, const char* name, const char* colour) {
    const double gap = 40.0 * step / widest;
    svg.line(20, y, 540, y, colour);
    for (int k = 0; gap >= 2 && 20 + gap * k <= 540; ++k) svg.line(20 + gap * k, y - 8, 20 + gap * k, y, colour);
    svg.text(20, y + 16, fmt::format("{}: one mark is {}", name, step));
  };
  draw(30, step_a, "a", Svg::kBlue), draw(80, step_b, "b", Svg::kBlue), draw(130, step_out, "a + b", Svg::kOrange);
  return svg;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<int> a{100, 50, -3, 127, 3, -100}, b{-37, 20, 2, 127, -1, 40};
  examples::Lesson lesson("11_residual_add", "Adding integers of two different steps");
  lesson.option("--a", a, "integers -127 to 127");
  lesson.option("--b", b, "as many");
  lesson.option("--step-a", step_a, "");
  lesson.option("--step-b", step_b, "");
  lesson.option("--step-out", step_out, "");
  lesson.picture(rulers);
  return lesson.run(argc, argv, [&] {
    require(a.size() == b.size(), "--b: {} numbers for {} of --a", b.size(), a.size());
    for (const auto* list : {&a, &b}) {
      for (const int q : *list) require(std::abs(q) <= 127, "--a, --b: {} is outside of -127..127", q);
    }
    for (const float s : {step_a, step_b, step_out})
      require(s >= 1e-15f && s <= 1e15f, "a step of {} is not within 1e-15..1e15", s);  // ratios within 2^-100..2^100
    const float m_a = arithmetic::add_multiplier(step_a, step_out), m_b = arithmetic::add_multiplier(step_b, step_out);
    const auto full_a = static_cast<float>(static_cast<double>(step_a) / step_out),
               full_b = static_cast<float>(static_cast<double>(step_b) / step_out);
    fmt::print("M_a = {}   16 significant bits of {}\n", m_a, full_a);
    fmt::print("M_b = {}   16 significant bits of {}\n\n", m_b, full_b);
    examples::Table table({"a", "b", "a * M_a", "b * M_b", "q", "stands for", "real sum"});
    for (std::size_t i = 0; i < a.size(); ++i) {
      const int q = add(a[i], b[i], m_a, m_b);
      table.add(examples::cells(
          a[i], b[i], examples::fixed(static_cast<float>(a[i]) * m_a, 6),
          examples::fixed(static_cast<float>(b[i]) * m_b, 6), q, examples::fixed(static_cast<double>(step_out) * q, 4),
          examples::fixed(static_cast<double>(step_a) * a[i] + static_cast<double>(step_b) * b[i], 4)));
    }
    fmt::print("{}\nPairs of which a fused multiply-add makes another float:\n", table.str());
    fmt::print("  with 16 bits of M  {} of 65025\n  with 24 bits of M  {} of 65025\n", differing_pairs(m_a, m_b),
               differing_pairs(full_a, full_b));
  });
}
