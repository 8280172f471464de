// 12  A sparse convolution by hand: rulebook, gather, accumulate, requantise.
//     runtime/rulebook.h; rules 4, 5 and 7 of calib/QUANTIZATION.md.
//
// A 5 x 5 grid of which a few cells are active ("sites"). A submanifold 3 x 3 convolution has outputs at the same sites
// and skips what is not there: the rulebook lists, for each of the nine taps, which site each output reads. A missing
// neighbour adds nothing, as a padded zero would; and so the work grows with the sites, not with the grid.
#include <algorithm>
#include <cmath>

#include "examples/common/lesson.h"
#include "examples/common/terminal.h"
#include "runtime/arithmetic.h"
#include "runtime/error.h"
#include "runtime/rulebook.h"

using namespace octet;
using examples::Svg;

namespace {

constexpr SparseGrid kGrid{1, 5, 5};
std::vector<int> sites{6, 7, 12, 24};  // y * 5 + x, ascending

Rulebook rulebook_of(const std::vector<std::int64_t>& keys) {
  const SparseWindow window{.kernel = {1, 3, 3}, .padding = {0, 1, 1}, .submanifold = true};
  ThreadPool threads(1);
  SiteIndex index;
  index.assign(keys, kGrid.cells());
  Rulebook rulebook;
  make_rulebook(index, kGrid, keys, kGrid, window, threads, rulebook);
  return rulebook;
}

Svg draw() {
  Svg svg(300, 270, "The 5 x 5 grid: active sites and the 3 x 3 window around the first of them");
  for (int cell = 0; cell < 25; ++cell) {
    const double x = 40 + cell % 5 * 44, y = 20 + cell / 5 * 44;
    const auto at = std::ranges::find(sites, cell);
    svg.rect(x, y, 40, 40, at != sites.end() ? Svg::kOrange : "#f4f4f4", Svg::kGrey);
    if (at != sites.end()) svg.text(x + 20, y + 25, fmt::format("{}", at - sites.begin()), Svg::Align::middle, 14);
  }
  const double x = 40 + (sites[0] % 5 - 1) * 44 - 3, y = 20 + (sites[0] / 5 - 1) * 44 - 3;
  svg.line(x, y, x + 134, y, Svg::kBlue, 2).line(x, y + 134, x + 134, y + 134, Svg::kBlue, 2);
  svg.line(x, y, x, y + 134, Svg::kBlue, 2).line(x + 134, y, x + 134, y + 134, Svg::kBlue, 2);
  return svg.text(40, 258, "orange: sites with their rows; blue: what row 0 reads", Svg::Align::start, 10);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<float> features{1, -0.5f, 2, 2.54f};
  std::vector<float> weights{0.1f, -0.2f, 0.05f, 0.3f, 0.635f, -0.1f, -0.25f, 0.15f, 0.4f};
  float bias = 0.123f, amax_out = 5.08f;
  examples::Lesson lesson("12_sparse_convolution", "A sparse 3 x 3 convolution on a 5 x 5 grid, in integers");
  lesson.option("--sites", sites, "active cells y * 5 + x, ascending, 0 to 24");
  lesson.option("--features", features, "one real a site");
  lesson.option("--weights", weights, "3 x 3");
  lesson.option("--bias", bias, "");
  lesson.option("--amax-out", amax_out, "range of the output");
  lesson.picture(draw);
  return lesson.run(argc, argv, [&] {
    require(std::ranges::is_sorted(sites, std::less_equal<>()) && sites.front() >= 0 && sites.back() < 25,
            "--sites: ascending cells 0 to 24, each once, were expected");
    require(features.size() == sites.size(), "--features: {} numbers for {} sites", features.size(), sites.size());
    require(weights.size() == 9 && amax_out > 0, "--weights takes 9 numbers, --amax-out a positive one");
    const std::vector<std::int64_t> keys(sites.begin(), sites.end());
    const Rulebook rulebook = rulebook_of(keys);
    const QuantParams in{.step = arithmetic::symmetric_step(examples::amax_of(features))};
    const float step_w = arithmetic::weight_step(examples::amax_of(weights), bias, in.step);
    const float step_out = arithmetic::symmetric_step(amax_out), m = arithmetic::multiplier(in.step, step_w, step_out);
    const auto bias_q = static_cast<std::int32_t>(arithmetic::quantise_bias(bias, in.step, step_w));
    std::vector<std::int32_t> q, w, sums(sites.size(), bias_q), out;
    for (const float x : features) q.push_back(arithmetic::quantise(x, in));
    for (const float x : weights) w.push_back(arithmetic::quantise(x, {.step = step_w}));
    examples::row("sites", sites), examples::row("features q", q);
    fmt::print("\n1. The rulebook: {} pairs of {} * 9\n\ntap   weight   output row <- input row\n", rulebook.pairs(),
               sites.size());
    for (std::int64_t tap = 0; tap < rulebook.taps(); ++tap) {
      fmt::print("{}     {:>6}  ", tap, w[tap]);
      for (std::int64_t row = 0; row < rulebook.rows(); ++row) {
        const std::int32_t from = rulebook.input(tap, row);  // gather
        if (from < 0) continue;
        sums[row] += w[tap] * q[from];  // accumulate
        fmt::print(" {} <- {}", row, from);
      }
      fmt::print("\n");
    }
    for (const auto sum : sums) out.push_back(arithmetic::requantise(sum, m, -127, 127, 0));
    fmt::print("\n2. Sums, with the bias {}; times m = {}; rounded\n\n", bias_q, m);
    examples::row("sums", sums), examples::row("outputs q", out);
    std::vector<float> back;
    for (const auto v : out) back.push_back(arithmetic::dequantise(v, step_out, 0));
    examples::row("stand for", back, "{:.4f}");
  });
}
