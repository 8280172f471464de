#include "models/centerpoint/picture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/io/markup.h"
#include "runtime/io/png.h"

namespace octet::models {
namespace {

struct Colour {
  std::uint8_t r, g, b;
};
constexpr Colour kBackground{16, 18, 24}, kTruth{255, 255, 255};
constexpr std::array<Colour, 10> kClasses = {{{255, 158, 0},
                                              {255, 99, 71},
                                              {233, 150, 70},
                                              {255, 69, 130},
                                              {255, 140, 255},
                                              {150, 160, 170},
                                              {255, 61, 99},
                                              {220, 20, 60},
                                              {90, 160, 255},
                                              {80, 220, 120}}};
Colour colour_of_class(int label) { return kClasses[static_cast<std::size_t>(label) % kClasses.size()]; }

// Blue at the lowest to yellow at the highest point, over green.
Colour colour_of_height(float share) {
  const float t = std::clamp(share, 0.0f, 1.0f);
  const auto channel = [](float v) { return static_cast<std::uint8_t>(std::clamp(v, 0.0f, 1.0f) * 255); };
  return {channel(1.6f * t - 0.5f), channel(0.25f + 0.75f * t), channel(0.85f - 0.9f * t)};
}

struct Point {
  double x, y;
};

// From metres to pixels; the x axis goes up, y to the left.
class Canvas {
 public:
  explicit Canvas(const Picture& p) {
    const auto& r = p.config.range;
    const double wide = r[4] - r[1], high = r[3] - r[0];
    scale_ = p.pixels / std::max(wide, high);
    left_ = r[4], top_ = r[3];
    width = std::max(1, static_cast<int>(std::lround(wide * scale_)));
    height = std::max(1, static_cast<int>(std::lround(high * scale_)));
    pixels_.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
    for (std::size_t i = 0; i < pixels_.size(); i += 3) put(i, kBackground);
  }
  Point at(double x, double y) const { return {(left_ - y) * scale_, (top_ - x) * scale_}; }
  void dot(Point p, Colour c) {
    if (!(p.x >= 0 && p.y >= 0 && p.x < width && p.y < height)) return;
    put((static_cast<std::size_t>(p.y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(p.x)) * 3, c);
  }
  void line(Point a, Point b, Colour c) {
    const double far = std::max(std::fabs(b.x - a.x), std::fabs(b.y - a.y));
    if (!(far < 4 * (width + height))) return;  // a box beyond reason
    const int steps = static_cast<int>(far) + 1;
    for (int i = 0; i <= steps; ++i) {
      dot({a.x + (b.x - a.x) * i / steps, a.y + (b.y - a.y) * i / steps}, c);
    }
  }
  std::span<const std::uint8_t> pixels() const { return pixels_; }

  int width = 0, height = 0;

 private:
  void put(std::size_t i, Colour c) { pixels_[i] = c.r, pixels_[i + 1] = c.g, pixels_[i + 2] = c.b; }

  double scale_ = 1, left_ = 0, top_ = 0;
  std::vector<std::uint8_t> pixels_;
};

void draw_points(Canvas& canvas, const Picture& p) {
  const auto values = p.points.span<float>();
  const auto low = static_cast<float>(p.config.range[2]), high = static_cast<float>(p.config.range[5]);
  for (std::size_t i = 0; i + 4 < values.size(); i += 5) {
    canvas.dot(canvas.at(values[i], values[i + 1]), colour_of_height((values[i + 2] - low) / (high - low)));
  }
}

// Corners, and the middle of the side it heads for.
struct Outline {
  std::array<Point, 4> corners;
  Point centre, nose;
};
Outline outline_of(const Canvas& canvas, double x, double y, double length, double width, double heading) {
  const double c = std::cos(heading), s = std::sin(heading);
  const auto at = [&](double ahead, double left) {
    return canvas.at(x + ahead * c - left * s, y + ahead * s + left * c);
  };
  const double l = length / 2, w = width / 2;
  return {{at(l, w), at(l, -w), at(-l, -w), at(-l, w)}, at(0, 0), at(l, 0)};
}
Outline outline_of(const Canvas& canvas, const Box& b) {
  return outline_of(canvas, b.x, b.y, b.dy, b.dx, -static_cast<double>(b.yaw) - std::numbers::pi / 2);
}
Outline outline_of(const Canvas& canvas, const Annotation& b) {
  return outline_of(canvas, b.x, b.y, b.length, b.width, b.heading);
}

void draw(Canvas& canvas, const Outline& o, Colour colour, bool nose) {
  for (std::size_t i = 0; i < 4; ++i) canvas.line(o.corners[i], o.corners[(i + 1) % 4], colour);
  if (nose) canvas.line(o.centre, o.nose, colour);
}

std::string hex_of(Colour c) { return fmt::format("#{:02x}{:02x}{:02x}", c.r, c.g, c.b); }

// The points as vectors: runs of pixels of one colour along a row, one path a colour. Heights are cut into sixteen
// shades first. Moves are relative, which halves the text.
std::string point_paths(const Picture& p, const Canvas& canvas) {
  constexpr int kShades = 16;
  std::vector<std::int8_t> shades(static_cast<std::size_t>(canvas.width) * static_cast<std::size_t>(canvas.height), -1);
  const auto values = p.points.span<float>();
  const auto low = static_cast<float>(p.config.range[2]), high = static_cast<float>(p.config.range[5]);
  for (std::size_t i = 0; i + 4 < values.size(); i += 5) {
    const Point at = canvas.at(values[i], values[i + 1]);
    if (!(at.x >= 0 && at.y >= 0 && at.x < canvas.width && at.y < canvas.height)) continue;
    const float share = std::clamp((values[i + 2] - low) / (high - low), 0.0f, 1.0f);
    shades[static_cast<std::size_t>(at.y) * static_cast<std::size_t>(canvas.width) + static_cast<std::size_t>(at.x)] =
        static_cast<std::int8_t>(std::min(kShades - 1, static_cast<int>(share * kShades)));
  }
  std::array<std::string, kShades> paths;
  std::array<std::pair<int, int>, kShades> pens{};  // where each path's pen is
  for (int y = 0; y < canvas.height; ++y) {
    const std::int8_t* row = shades.data() + static_cast<std::ptrdiff_t>(y) * canvas.width;
    for (int x = 0, end = 0; x < canvas.width; x = end) {
      for (end = x + 1; end < canvas.width && row[end] == row[x];) ++end;
      if (row[x] < 0) continue;
      auto& [pen_x, pen_y] = pens[static_cast<std::size_t>(row[x])];
      paths[static_cast<std::size_t>(row[x])] += fmt::format("m{} {}h{}", x - pen_x, y - pen_y, end - x);
      pen_x = end, pen_y = y;
    }
  }
  std::string text;
  for (int i = 0; i < kShades; ++i) {
    if (paths[static_cast<std::size_t>(i)].empty()) continue;
    const Colour c = colour_of_height((static_cast<float>(i) + 0.5f) / kShades);
    text += fmt::format("<path transform=\"translate(0 .5)\" stroke=\"{}\" d=\"{}\"/>\n", hex_of(c),
                        paths[static_cast<std::size_t>(i)]);
  }
  return text;
}

std::string path_of(const Outline& o, bool nose, const std::string& style, const std::string& title) {
  std::string d;
  for (std::size_t i = 0; i < 4; ++i)
    d += fmt::format("{}{:.1f},{:.1f} ", i == 0 ? "M" : "L", o.corners[i].x, o.corners[i].y);
  d += "Z";
  if (nose) d += fmt::format(" M{:.1f},{:.1f} L{:.1f},{:.1f}", o.centre.x, o.centre.y, o.nose.x, o.nose.y);
  return fmt::format("<path d=\"{}\" fill=\"none\" {}><title>{}</title></path>\n", d, style, title);
}

std::string svg(const Picture& p, const Canvas& canvas) {
  std::string text = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"{2}\"/>\n",
      canvas.width, canvas.height, hex_of(kBackground));
  text += point_paths(p, canvas);
  for (const Annotation& b : p.truth) {
    text += path_of(outline_of(canvas, b), true, "stroke=\"#fff\" stroke-width=\"1\" stroke-dasharray=\"3 2\"",
                    "true: " + markup_escaped(b.label));
  }
  const std::vector<std::string> labels = p.config.labels();
  for (const Box& b : p.boxes) {
    const Colour c = colour_of_class(b.label);
    text += path_of(outline_of(canvas, b), true, fmt::format("stroke=\"{}\" stroke-width=\"1.5\"", hex_of(c)),
                    fmt::format("{} {:.3f}", markup_escaped(labels[static_cast<std::size_t>(b.label)]), b.score));
  }
  return text + "</svg>\n";
}

}  // namespace

void check_picture_name(const std::filesystem::path& path) {
  require(path.extension() == ".svg" || path.extension() == ".png", "{}: a name that ends in .svg or .png was expected",
          path.string());
  std::error_code error;
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  require(std::filesystem::is_directory(folder, error), "{}: there is no folder {}", path.string(), folder.string());
}

void save_picture(const Picture& p, const std::filesystem::path& path) {
  check_picture_name(path);
  const bool vectors = path.extension() == ".svg";
  Canvas canvas(p);
  if (vectors) return write_file_atomically(path, svg(p, canvas));
  draw_points(canvas, p);
  for (const Annotation& b : p.truth) draw(canvas, outline_of(canvas, b), kTruth, false);
  for (const Box& b : p.boxes) draw(canvas, outline_of(canvas, b), colour_of_class(b.label), true);
  write_file_atomically(path, png_bytes(canvas.width, canvas.height, canvas.pixels()));
}

}  // namespace octet::models
