// report.html: every edge, rule, bar and table is on the page, where it belongs; a page that is empty or broken fails.
// (A browser is not needed for that: the page is static.)
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <regex>

#include "calib/choose_range.h"
#include "calib/report.h"
#include "tests/random_graph.h"

using namespace octet;
using namespace octet::calib;

namespace {

EdgeRange edge(const std::string& name, std::uint64_t seed, Method method) {
  test::Random random(seed);
  HistogramObserver o;
  const Tensor values = random.tensor(Shape{1, 20000}, 1.0);
  View v;
  v.data = const_cast<std::byte*>(values.raw());
  v.n = 1, v.c = 20000, v.stride_w = v.stride_h = v.stride_n = v.c;
  o.observe(v);
  return choose_range(name, o, {.method = method});
}

struct Parts {
  Ranges ranges;
  Sensitivity sensitivity;
  Summary summary;
};

Parts parts() {
  Parts p;
  p.ranges.model = p.sensitivity.model = p.summary.model = "net <1> & co";
  p.ranges.method = "mse", p.ranges.images = 7;
  for (int i = 0; i < 3; ++i) {
    p.ranges.edges.push_back(edge(fmt::format("edge{}<&", i), static_cast<std::uint64_t>(i) + 1, Method::mse));
    p.summary.edge_order.push_back(p.ranges.edges.back().observer);
    p.summary.edge_sqnr[p.summary.edge_order.back()] = i == 0 ? std::numeric_limits<double>::infinity() : 20.0 + i;
    p.sensitivity.layers.push_back({fmt::format("layer{}", i), i == 2, {.top1 = 90.0 + i, .sqnr_db = 30.0 - i}});
    p.summary.plan.push_back({fmt::format("layer{}", i), "conv2d", "int8", "conv2d_s8_reference", "because <x>"});
  }
  p.sensitivity.fp32.top1 = 93, p.sensitivity.int8.top1 = 89.5, p.sensitivity.complete = true;
  p.summary.origin.top1 = 93, p.summary.ptq.top1 = 89.5, p.summary.ptq.sqnr_db = 25;
  p.summary.count = 70, p.summary.fp32_bytes = 4'000'000, p.summary.int8_bytes = 1'000'000;
  p.summary.float_layers = {"layer9"};
  return p;
}

int count_of(const std::string& text, const std::string& part) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// Every tag is closed by its own; returns how many there were.
int check_balanced(const std::string& html) {
  static const std::regex tag(R"(<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:[^<>"]|"[^"]*")*?)(/?)>)");
  std::vector<std::string> open;
  int tags = 0;
  std::string text = html.substr(html.find('>') + 1);  // behind the doctype
  for (std::sregex_iterator it(text.begin(), text.end(), tag), end; it != end; ++it, ++tags) {
    const std::string name = (*it)[2];
    if ((*it)[4].length() > 0 || name == "meta") continue;
    if ((*it)[1].length() == 0) {
      open.push_back(name);
      continue;
    }
    REQUIRE_MESSAGE(!open.empty(), "</" << name << "> closes nothing");
    CHECK_MESSAGE(open.back() == name, "</" << name << "> closes <" << open.back() << ">");
    open.pop_back();
  }
  CHECK(open.empty());
  CHECK(count_of(std::regex_replace(text, tag, ""), "<") == 0);
  return tags;
}

}  // namespace

TEST_CASE("a full report: well-formed, self-contained, nothing missing, nothing that is no number") {
  const Parts p = parts();
  const std::string html = report_html(p.ranges, p.sensitivity, p.summary);
  CHECK(check_balanced(html) > 300);
  for (const char* bad : {"nan", "inf\"", "http", "<script", "net <1>", "because <x>"}) {
    CHECK_MESSAGE(html.find(bad) == std::string::npos, bad);
  }
  for (const char* part : {"net &lt;1&gt; &amp; co", "edge0&lt;&amp;", "93.00 %", "89.50 %", "4.000 MB", "1.000 MB",
                           "because &lt;x&gt;", "layer2 (block)", "exact", "Left in float: layer9", "25.0 dB"}) {
    CHECK_MESSAGE(html.find(part) != std::string::npos, part);
  }
  CHECK(count_of(html, "<svg") == 3 + 2);
  CHECK(html.find("layer2 (block)") < html.find("layer0</text>"));  // the ranking's order: 92, 91, 90
  CHECK(report_html(p.ranges, p.sensitivity, p.summary) == html);
}

TEST_CASE("each rule's line stands where its amax is, and bars stand for the counts") {
  const Parts p = parts();
  const std::string html = report_html(p.ranges);
  check_balanced(html);
  CHECK(count_of(html, "<figure>") == 3);
  std::size_t at = 0;
  for (const EdgeRange& e : p.ranges.edges) {
    at = html.find("<figure>", at + 1);
    const std::string figure = html.substr(at, html.find("</figure>", at) - at);
    int bars = 0;
    for (const std::int64_t c : e.histogram.counts) bars += c > 0;
    REQUIRE(bars > 50);
    CHECK(count_of(figure, "<rect") == bars);
    for (const auto& [rule, amax] : e.rules) {
      const double x = report_x(e, amax);
      CHECK(x > 0);
      CHECK(x <= report_x(e, static_cast<double>(e.rules.at("max"))) + 1e-3);
      const std::string line = fmt::format("<line class=\"{}\" x1=\"{:.2f}\"", rule, x);
      CHECK_MESSAGE(figure.find(line) != std::string::npos, line);
    }
    CHECK(count_of(figure, "stroke-width=\"2.5\"") >= 1);  // the chosen rule
  }
}

TEST_CASE("a range that no rule chose has a solid line of its own, the rules' lines beside it") {
  Parts p = parts();
  EdgeRange& e = p.ranges.edges[1];
  e.amax = 0.9f * e.rules.at("max");  // a moving average
  const std::string html = report_html(p.ranges);
  check_balanced(html);
  CHECK(count_of(html, "<line class=\"chosen\"") == 1);
  const std::string line = fmt::format("<line class=\"chosen\" x1=\"{:.2f}\"", report_x(e, e.amax));
  CHECK(html.find(line) != std::string::npos);
  CHECK(count_of(html, "stroke-width=\"2.5\"") == 3);
}

TEST_CASE("parts of different models, and ranges of nothing, make no report") {
  Parts p = parts();
  p.sensitivity.model = "other";
  CHECK_THROWS_WITH_AS(report_html(p.ranges, p.sensitivity), doctest::Contains("'other'"), Error);
  p.summary.model = "third";
  CHECK_THROWS_WITH_AS(report_html(p.ranges, std::nullopt, p.summary), doctest::Contains("'third'"), Error);
  CHECK_THROWS_AS(report_html(Ranges{.model = "x"}), Error);
}

TEST_CASE("a summary comes back from JSON") {
  const Parts p = parts();
  const Summary back = summary_from_json(to_json(p.summary), "s");
  CHECK(!back.auto_ignore);
  Summary limited = p.summary;
  for (const double slack : {0.5, 0.0, -0.5}) {  // the loss must be below the points, not equal to them
    limited.auto_ignore = limited.drop() + slack;
    const Summary read = summary_from_json(to_json(limited), "s");
    CHECK(read.auto_ignore == limited.auto_ignore);
    CHECK(read.within_auto_ignore() == (slack > 0));
    CHECK(nlohmann::json::parse(to_json(read))["auto_ignore"]["below"] == (slack > 0));
  }
  CHECK(to_json(back) == to_json(p.summary));
  CHECK(back.drop() == doctest::Approx(3.5));
  CHECK_THROWS_WITH_AS(summary_from_json("{}", "s.json"), doctest::Contains("s.json"), Error);
}
