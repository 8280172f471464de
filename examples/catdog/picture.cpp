#include "examples/catdog/picture.h"

#include <fmt/format.h>
#include <cmath>

#include "examples/common/svg.h"

namespace octet::examples {
namespace {

constexpr double kName = 300, kHalf = 190, kMiddle = kName + kHalf + 10, kRow = 34, kTop = 34;
constexpr int kWidth = 760;

// A bar from the middle: half a score is no length at all.
void bar(Svg& svg, double y, double dog, const char* colour) {
  const double length = std::fabs(2 * dog - 1) * kHalf;
  svg.rect(dog < 0.5 ? kMiddle - length : kMiddle, y, length, 10, colour);
  svg.text(kMiddle + kHalf + 8, y + 9, fmt::format("{} {:.3f}", dog < 0.5 ? "cat" : "dog", std::max(dog, 1 - dog)),
           Svg::Align::start, 11, colour);
}

}  // namespace

std::string predictions_svg(const std::vector<Prediction>& predictions) {
  const double bottom = kTop + kRow * static_cast<double>(predictions.size());
  Svg svg(kWidth, static_cast<int>(bottom) + 10, "Cat or dog: the scores of each photo in FP32 and in INT8");
  svg.rect(0, 0, kWidth, bottom + 10, "white");
  svg.text(kMiddle - kHalf, 18, "cat").text(kMiddle + kHalf, 18, "dog", Svg::Align::end);
  svg.rect(10, 9, 10, 10, Svg::kBlue).text(25, 18, "FP32").rect(70, 9, 10, 10, Svg::kOrange).text(85, 18, "INT8");
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    const Prediction& p = predictions[i];
    const double y = kTop + kRow * static_cast<double>(i);
    svg.text(kName - 10, y + 15, p.photo, Svg::Align::end);
    bar(svg, y, p.fp32, Svg::kBlue);
    bar(svg, y + 12, p.int8, Svg::kOrange);
  }
  svg.line(kMiddle, kTop - 8, kMiddle, bottom);
  return svg.str();
}

}  // namespace octet::examples
