#include "examples/common/svg.h"

#include <fmt/format.h>

#include <cmath>

#include "runtime/io/markup.h"

namespace octet::examples {
namespace {

// At most one decimal, and never "-0".
std::string number(double value) {
  const double tenths = std::round(value * 10);
  const auto whole = static_cast<long long>(tenths);
  std::string text = fmt::format("{}{}", whole < 0 ? "-" : "", std::abs(whole) / 10);
  if (whole % 10 != 0) text += fmt::format(".{}", std::abs(whole) % 10);
  return text;
}

}  // namespace

Svg::Svg(int width, int height, std::string_view title)
    : title_(markup_escaped(title)), width_(width), height_(height) {}

Svg& Svg::line(double x1, double y1, double x2, double y2, const char* colour, double width) {
  body_ += fmt::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"{}\" stroke-width=\"{}\"/>\n",
                       number(x1), number(y1), number(x2), number(y2), colour, number(width));
  return *this;
}

Svg& Svg::rect(double x, double y, double w, double h, const char* fill, const char* stroke) {
  body_ += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\" stroke=\"{}\"/>\n", number(x),
                       number(y), number(w), number(h), fill, stroke);
  return *this;
}

Svg& Svg::circle(double x, double y, double r, const char* fill) {
  body_ += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{}\"/>\n", number(x), number(y), number(r), fill);
  return *this;
}

Svg& Svg::path(const std::vector<std::pair<double, double>>& points, const char* colour, double width) {
  std::string list;
  for (const auto& [x, y] : points) list += fmt::format("{}{},{}", list.empty() ? "" : " ", number(x), number(y));
  body_ += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"/>\n", list, colour,
                       number(width));
  return *this;
}

Svg& Svg::text(double x, double y, std::string_view text, Align align, int size, const char* colour) {
  const char* anchors[] = {"start", "middle", "end"};
  body_ += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"{}\" font-size=\"{}\" fill=\"{}\">{}</text>\n", number(x),
                       number(y), anchors[static_cast<int>(align)], size, colour, markup_escaped(text));
  return *this;
}

std::string Svg::str() const {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {} {}\" "
      "font-family=\"sans-serif\" role=\"img\">\n<title>{}</title>\n"
      "<rect x=\"0\" y=\"0\" width=\"{}\" height=\"{}\" fill=\"white\"/>\n{}</svg>\n",
      width_, height_, width_, height_, title_, width_, height_, body_);
}

}  // namespace octet::examples
