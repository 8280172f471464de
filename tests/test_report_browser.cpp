// report.html as a browser draws it: headless Chromium's screenshot holds bars, lines and text, and the same check
// fails on pages that are empty or broken. Skipped, visibly, without Chromium (Debian's package chromium).
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "calib/choose_range.h"
#include "calib/report.h"
#include "runtime/io/image.h"
#include "tests/program.h"
#include "tests/random_graph.h"

using namespace octet;
using namespace octet::calib;
using namespace octet::testing;

namespace {

constexpr int kWidth = 1100, kHeight = 1500;

std::string browser() {
  for (const char* name : {"chromium", "chromium-browser", "google-chrome"}) {
    if (std::system(("command -v " + std::string(name) + " >/dev/null 2>&1").c_str()) == 0) return name;
  }
  MESSAGE("skipped: no Chromium here");
  return "";
}

Result browse(const std::string& program, const TempFolder& folder, const std::string& html, const Arguments& action) {
  write_text(folder / "page.html", html);
  Arguments command = {program,
                       "--headless",
                       "--no-sandbox",
                       "--disable-gpu",
                       "--disable-sync",
                       "--no-first-run",
                       "--hide-scrollbars",
                       "--disable-extensions",
                       "--user-data-dir=" + folder / "profile",
                       "--window-size=" + std::to_string(kWidth) + "," + std::to_string(kHeight)};
  command.insert(command.end(), action.begin(), action.end());
  command.push_back("file://" + folder / "page.html");
  return run_program(command);
}

// How many pixels have (nearly) this colour.
int count_of(const Image& image, int r, int g, int b) {
  int count = 0;
  const auto pixels = image.pixels.span<std::uint8_t>();
  for (std::size_t i = 0; i + 2 < pixels.size(); i += 3) {
    const auto near = [&](std::size_t k, int value) { return std::abs(int{pixels[i + k]} - value) <= 3; };
    count += near(0, r) && near(1, g) && near(2, b);
  }
  return count;
}

// What a report must show and this picture does not.
std::vector<std::string> missing_in(const Image& image) {
  std::vector<std::string> missing;
  const auto expect = [&](const char* what, int count, int least) {
    if (count < least) missing.push_back(fmt::format("{}: {} pixels, {} were expected", what, count, least));
  };
  expect("histogram bars (#b9cbdd)", count_of(image, 0xb9, 0xcb, 0xdd), 5000);
  expect("sensitivity bars (#1668c4)", count_of(image, 0x16, 0x68, 0xc4), 3000);
  expect("noise bars (#12883f)", count_of(image, 0x12, 0x88, 0x3f), 3000);
  expect("the percentile's line (#c2570c)", count_of(image, 0xc2, 0x57, 0x0c), 40);
  const auto pixels = image.pixels.span<std::uint8_t>();
  int dark = 0;
  for (std::size_t i = 0; i + 2 < pixels.size(); i += 3)
    dark += std::max({pixels[i], pixels[i + 1], pixels[i + 2]}) < 100;
  expect("text", dark, 2000);
  return missing;
}

std::string full_report() {
  Ranges ranges;
  Sensitivity sensitivity;
  Summary summary;
  ranges.model = sensitivity.model = summary.model = "network";
  ranges.method = "mse", ranges.images = 7;
  for (int i = 0; i < 3; ++i) {
    test::Random random(static_cast<std::uint64_t>(i) + 1);
    HistogramObserver o;
    std::vector<float> values;
    for (int k = 0; k < 20000; ++k) values.push_back(random.real(1.0) * random.real(2.0) * random.real(1.0));
    Histogram histogram;
    histogram.observe(values);
    const std::string name = fmt::format("edge{}", i);
    ranges.edges.push_back(choose_range(name, HistogramObserver(histogram), {.method = Method::mse}));
    summary.edge_order.push_back(name), summary.edge_sqnr[name] = 20.0 + 5 * i;
    sensitivity.layers.push_back({fmt::format("layer{}", i), false, {.top1 = 90.0 + i, .sqnr_db = 30.0 - i}});
    summary.plan.push_back({fmt::format("layer{}", i), "conv2d", "int8", "conv2d_s8_reference", ""});
  }
  sensitivity.fp32.top1 = 93, sensitivity.int8.top1 = 89.5, sensitivity.complete = true, sensitivity.images = 70;
  summary.origin.top1 = 93, summary.ptq.top1 = 89.5, summary.ptq.sqnr_db = 25, summary.count = 70;
  summary.fp32_bytes = 4'000'000, summary.int8_bytes = 1'000'000;
  return report_html(ranges, sensitivity, summary);
}

std::string without(std::string text, const std::string& begin, const std::string& end) {
  for (std::size_t at = text.find(begin); at != std::string::npos; at = text.find(begin, at)) {
    text.erase(at, text.find(end, at) + end.size() - at);
  }
  return text;
}

}  // namespace

TEST_CASE("a browser draws the report's bars, lines and text, and the check fails on empty and broken pages") {
  const std::string program = browser();
  if (program.empty()) return;
  const TempFolder folder;
  const auto draw = [&](const std::string& html) {
    fs::remove(folder / "shot.png");
    const Result result = browse(program, folder, html, {"--screenshot=" + folder / "shot.png"});
    INFO(result.err);
    REQUIRE(fs::exists(folder / "shot.png"));
    const Image image = load_image(folder / "shot.png");
    CHECK(image.width == kWidth);
    return missing_in(image);
  };
  const std::string html = full_report();
  const std::vector<std::string> missing = draw(html);
  CHECK_MESSAGE(missing.empty(), fmt::format("{}", fmt::join(missing, "; ")));
  const Result dom = browse(program, folder, html, {"--dump-dom"});
  for (const char* text :
       {"Accuracy and size", "Sensitivity", "Noise by edge", "Edges", "Plan", "conv2d_s8_reference"}) {
    CHECK_MESSAGE(dom.out.find(text) != std::string::npos, text);
  }
  CHECK(draw("").size() == 5);
  CHECK(!draw(without(html, "<rect", "/>")).empty());                  // no bar
  CHECK(!draw(html.substr(0, html.find("<svg"))).empty());             // cut off
  CHECK(draw("<!--" + html.substr(html.find("<body>"))).size() == 5);  // everything is a comment
}
