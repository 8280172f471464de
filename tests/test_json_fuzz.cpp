// The readers of ranges, sensitivity, summary and observers on damaged files: what they take they can also write again
// and report on; everything else is an Error. Run under the sanitisers, this is what looks for crashes.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "calib/choose_range.h"
#include "calib/report.h"
#include "runtime/error.h"
#include "tests/random_graph.h"

using namespace octet;
using namespace octet::calib;

namespace {

using test::Random;

constexpr int kRuns = 1500;

std::size_t below(Random& random, std::size_t bound) { return static_cast<std::size_t>(random.bits() % bound); }

HistogramObserver histogram_of(std::uint64_t seed) {
  Random random(seed);
  HistogramObserver o(64);
  Tensor values = random.tensor(Shape{1, 200}, 1.0);
  View v;
  v.data = const_cast<std::byte*>(values.raw());
  v.n = 1, v.c = 200, v.stride_w = v.stride_h = v.stride_n = 200;
  o.observe(v);
  return o;
}

Ranges sample_ranges() {
  Ranges r;
  r.model = "net", r.method = "mse", r.images = 3, r.data = "0123456789abcdef:0123456789ab";
  r.ignore = {"a\\.b"}, r.input_means["conv"] = {0.5f, -1.25f};
  for (const std::uint64_t seed : {1u, 2u}) {
    r.edges.push_back(choose_range(seed == 1 ? "one" : "two", histogram_of(seed),
                                   {.method = Method::mse, .scheme = Scheme::affine, .rule = {.start_bin = 8}}));
  }
  r.scheme = Scheme::affine;
  return r;
}

Sensitivity sample_sensitivity() {
  Sensitivity s{.model = "net", .data = "d", .images = 4};
  s.fp32.top1 = 90, s.fp32.sqnr_db = std::numeric_limits<double>::infinity();
  s.int8.top1 = 85, s.int8.sqnr_db = 20;
  s.layers = {{"a", true, s.int8}, {"a.b", false, s.fp32}};
  return s;
}

Summary sample_summary() {
  Summary s{.model = "net", .method = "mse", .count = 7, .calibration_overlap = 2};
  s.origin.top1 = 90, s.ptq.top1 = 85, s.ptq.sqnr_db = 21;
  s.float_layers = {"x"}, s.edge_order = {"one"}, s.edge_sqnr = {{"one", 12.5}};
  s.plan = {{"a", "conv2d", "int8", "kernel", ""}}, s.seconds = {{"ptq", 1.5}};
  return s;
}

// One or a few of: bytes flipped, a piece cut out, a piece doubled, a number replaced by an odd one, the end cut off.
std::string damaged(std::string text, Random& random) {
  static const std::string kOdd[] = {"-1",
                                     "0",
                                     "1e999",
                                     "-1e999",
                                     "4294967296",
                                     "9223372036854775807",
                                     "1e-45",
                                     "null",
                                     "[]",
                                     "{}",
                                     "\"\"",
                                     "true",
                                     "18446744073709551615",
                                     "3.7",
                                     "NaN",
                                     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
                                     "\"\\u0000\""};
  for (std::size_t edits = 1 + below(random, 3); edits > 0 && !text.empty(); --edits) {
    const std::size_t at = below(random, text.size()), length = 1 + below(random, 12);
    switch (below(random, 5)) {
      case 0:
        text[at] = static_cast<char>(random.bits());
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(at, text.substr(below(random, text.size()), length));
        break;
      case 3: {
        const std::size_t digit = text.find_first_of("0123456789", at);
        if (digit == std::string::npos) break;
        const std::size_t end = text.find_first_not_of("0123456789.e+-", digit);
        text.replace(digit, (end == std::string::npos ? text.size() : end) - digit,
                     kOdd[below(random, std::size(kOdd))]);
        break;
      }
      default:
        if (below(random, 4) == 0) text.resize(at);
    }
  }
  return text;
}

// How many damaged files were taken; whatever is not taken must be an Error.
int fuzz(const std::string& text, std::uint64_t seed, const std::function<void(const std::string&)>& read) {
  Random random(seed);
  read(text);  // undamaged, it must be taken
  int taken = 0;
  for (int i = 0; i < kRuns; ++i) {
    const std::string bad = damaged(text, random);
    try {
      read(bad);
      ++taken;
    } catch (const Error&) {
    } catch (const std::exception& e) {
      FAIL_CHECK("not an Error but '" << e.what() << "' for " << bad.substr(0, 400));
    }
  }
  return taken;
}

}  // namespace

TEST_CASE("damaged ranges, analyses and summaries are refused or understood, and then reported on") {
  const Ranges ranges = sample_ranges();
  const int taken[] = {fuzz(to_json(ranges), 1,
                            [](const std::string& text) {
                              const Ranges r = ranges_from_json(text, "r");
                              CHECK(to_json(ranges_from_json(to_json(r), "again")) == to_json(r));
                              if (!r.edges.empty()) report_html(r);
                            }),
                       fuzz(to_json(sample_sensitivity()), 2,
                            [&](const std::string& text) {
                              Sensitivity s = sensitivity_from_json(text, "s");
                              sensitivity_from_json(to_json(s), "again");
                              s.model = "net";
                              report_html(ranges, s);
                            }),
                       fuzz(to_json(sample_summary()), 3, [&](const std::string& text) {
                         Summary s = summary_from_json(text, "s");
                         summary_from_json(to_json(s), "again");
                         s.model = "net";
                         report_html(ranges, std::nullopt, s);
                       })};
  for (const int count : taken) {  // the damage is neither always fatal nor always harmless
    CHECK(count > kRuns / 50);
    CHECK(count < kRuns * 9 / 10);
  }
}

TEST_CASE("damaged observers are refused, or can go on observing, merging and choosing") {
  Random random(7);
  const Tensor more = random.tensor(Shape{1, 64}, 3.0);
  View v;
  v.data = const_cast<std::byte*>(more.raw());
  v.n = 1, v.c = 64, v.stride_w = v.stride_h = v.stride_n = 64;
  for (const Method method : {Method::max, Method::moving_average, Method::mse}) {
    auto o = make_observer(method, 64, 0.0f);
    o->observe(v);
    fuzz(o->to_json(), static_cast<std::uint64_t>(method) + 10, [&](const std::string& text) {
      const auto back = observer_from_json(text);
      if (back->kind() != o->kind()) return;
      const auto merged = o->clone();
      merged->merge(*back);
      back->observe(v);
      // A width of 1e-38 and a range of 1e38 leave no candidate, or no finite step: an Error, no crash.
      choose_range("e", *back, {.method = method, .rule = {.start_bin = 8}});
    });
  }
}
