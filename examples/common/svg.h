// Svg: the few shapes that the programs draw with, as one file without anything outside of itself. Coordinates are
// pixels from the upper left corner; numbers are written with at most one decimal, so that equal input gives equal
// bytes.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace octet::examples {

class Svg {
 public:
  enum class Align { start, middle, end };
  static constexpr const char* kInk = "#333333";     // text and axes
  static constexpr const char* kBlue = "#3b6ea5";    // real numbers
  static constexpr const char* kOrange = "#d9822b";  // integers
  static constexpr const char* kGrey = "#bbbbbb";
  static constexpr const char* kRed = "#c0392b";  // errors

  // `title` is what a screen reader says; it is not drawn.
  Svg(int width, int height, std::string_view title);

  Svg& line(double x1, double y1, double x2, double y2, const char* colour = kInk, double width = 1);
  Svg& rect(double x, double y, double w, double h, const char* fill, const char* stroke = "none");
  Svg& circle(double x, double y, double r, const char* fill);
  Svg& path(const std::vector<std::pair<double, double>>& points, const char* colour, double width = 1.5);
  Svg& text(double x, double y, std::string_view text, Align align = Align::start, int size = 12,
            const char* colour = kInk);

  std::string str() const;

 private:
  std::string body_, title_;
  int width_, height_;
};

}  // namespace octet::examples
