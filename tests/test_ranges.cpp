// ranges.json, and the options of quantise() that name layers.
#include <doctest/doctest.h>

#include <bit>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <limits>

#include "calib/quantise.h"
#include "models/catdog/catdog.h"
#include "tests/program_graphs.h"

using namespace octet;
using namespace octet::test;

namespace {

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}
bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

calib::Ranges sample() {
  calib::Ranges r;
  r.model = "two \"quotes\" and a \\";
  r.images = 100;
  r.seeded = true;
  r.scheme = calib::Scheme::affine;
  r.weights = calib::Granularity::tensor;
  r.edges.push_back({"a.b", 1.5f, -1.5f, 1.0f, {.step = 0.1f, .zero = 12, .lo = 0, .hi = 255}});
  r.edges.push_back({"dead", 0, 0, 0, {.step = 1, .zero = 0, .lo = 0, .hi = 255, .dead = true}});
  return r;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::vector<std::string> in_float(const QGraph& q) {
  std::vector<std::string> names;
  for (const QNode& n : q.nodes) {
    if (n.precision == Precision::fp32 && n.op != Op::quantise && n.op != Op::dequantise) names.push_back(n.name);
  }
  return names;
}

struct CatDog {
  Graph graph = models::catdog();
  calib::Ranges ranges;
  CatDog() {
    graph.seed_weights(1);
    ranges.model = "catdog";
    for (const char* name : {"input", "cv1", "cv2", "cv3", "cv4", "fc1", "fc2"}) {
      ranges.edges.push_back({name, 2, -2, 2, calib::quant_params(calib::Scheme::symmetric, false, 2, -2, 2)});
    }
  }
};

}  // namespace

TEST_CASE("every float comes back from ranges.json to the last bit") {
  Random random(1);
  calib::Ranges r = sample();
  const auto any_positive = [&] {
    for (;;) {
      const float x = std::bit_cast<float>(static_cast<std::uint32_t>(random.bits() & 0x7FFFFFFF));
      if (std::isnormal(x)) return x;
    }
  };
  const float odd[] = {std::numeric_limits<float>::max(),
                       std::numeric_limits<float>::min(),
                       0.1f,
                       1.0f / 3,
                       16777217.0f,
                       std::nextafter(1.0f, 2.0f),
                       std::nextafter(1.0f, 0.0f),
                       9.99999975e-05f,
                       8388609.0f};
  for (const float x : odd) r.edges.push_back({fmt::format("odd{}", r.edges.size()), x, -x, x, {.step = x}});
  for (int i = 0; i < 3000; ++i) {
    const float a = any_positive(), b = any_positive();
    r.edges.push_back({fmt::format("e{}", i), a, -std::max(a, b), std::min(a, b), {.step = b}});
  }
  r.edges.push_back({"subnormal", 1e-42f, -1e-42f, 1e-45f, {.dead = true}});
  const calib::Ranges back = calib::ranges_from_json(calib::to_json(r), "memory");
  CHECK(back.model == r.model);
  CHECK(back.method == r.method);
  CHECK(back.images == 100);
  CHECK(back.seeded);
  CHECK(back.scheme == r.scheme);
  CHECK(back.weights == r.weights);
  CHECK(back.preset == r.preset);
  REQUIRE(back.edges.size() == r.edges.size());
  for (std::size_t i = 0; i < r.edges.size(); ++i) {
    const auto bits = [](float x) { return std::bit_cast<std::uint32_t>(x); };
    const calib::EdgeRange &a = r.edges[i], &b = back.edges[i];
    REQUIRE(a.observer == b.observer);
    REQUIRE(bits(a.amax) == bits(b.amax));
    REQUIRE(bits(a.min) == bits(b.min));
    REQUIRE(bits(a.max) == bits(b.max));
    REQUIRE(a.quant == b.quant);
  }
  CHECK(calib::to_json(back) == calib::to_json(r));
  const std::string text = calib::to_json(sample());  // diffable: one edge a line
  CHECK(std::ranges::count(text, '\n') >= static_cast<std::ptrdiff_t>(sample().edges.size()) + 2);
}

TEST_CASE("a file is written and read, and what cannot be read is one clear line") {
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("octet_ranges_{}", getpid());
  std::filesystem::create_directories(folder);
  const auto path = folder / "ranges.json";
  calib::save_ranges(sample(), path);
  CHECK(calib::to_json(calib::load_ranges(path)) == calib::to_json(sample()));
  CHECK(mentions(message_of([&] { calib::load_ranges(folder / "none.json"); }), "none.json"));
  std::filesystem::remove_all(folder);

  const std::string good = calib::to_json(sample());
  const auto refused = [&](const std::string& text) {
    const std::string message = message_of([&] { calib::ranges_from_json(text, "file.json"); });
    CHECK_MESSAGE(mentions(message, "file.json"), "accepted, or the file is not named: " << text.substr(0, 400));
    CHECK(message.find('\n') == std::string::npos);
  };
  CHECK_NOTHROW(calib::ranges_from_json(good, "file.json"));
  for (std::size_t length = 0; length + 2 < good.size(); length += 7) refused(good.substr(0, length));  // truncated
  refused("[]"), refused("3"), refused("{}"), refused("null"), refused("\"octet_ranges\"");
  refused(replaced(good, "\"octet_ranges\": 1", "\"octet_ranges\": 2"));
  refused(replaced(good, "\"octet_ranges\": 1", "\"octet_ranges\": \"1\""));
  refused(replaced(good, "\"affine\"", "\"unknown\""));
  refused(replaced(good, "\"affine\"", "17"));
  refused(replaced(good, "\"tensor\"", "\"channels\""));
  refused(replaced(good, "\"preset\": \"none\"", "\"preset\": \"book\""));
  refused(replaced(good, "\"a.b\"", "\"dead\""));  // twice
  refused(replaced(good, "\"a.b\"", "4"));
  for (const char* amax : {"NaN", "nan", "null", "-1", "1e39", "\"1.5\"", "[]", "-0.5"}) {
    refused(replaced(good, "\"amax\": 1.5", std::string("\"amax\": ") + amax));
  }
  refused(replaced(good, "\"min\": -1.5", "\"min\": 1.25"));  // above the maximum
  refused(replaced(good, "\"min\": -1.5", "\"min\": -1e60"));
  for (const char* step : {"0", "-0.1", "1e-40", "1e60", "null", "\"0.1\""}) {
    refused(replaced(good, "\"step\": 0.100000001", std::string("\"step\": ") + step));
  }
  for (const char* zero : {"256", "-1", "12.5", "4294967308", "true", "1e30", "null"}) {
    refused(replaced(good, "\"zero\": 12", std::string("\"zero\": ") + zero));
  }
  for (const char* hi : {"256", "0", "-5", "11", "1000000", "4294967551", "255.5"}) {
    refused(replaced(good, "\"hi\": 255", std::string("\"hi\": ") + hi));
  }
  for (const char* lo : {"-1", "-129", "255", "13"}) refused(replaced(good, "\"lo\": 0", std::string("\"lo\": ") + lo));
  for (const char* key : {"model", "method", "scheme", "weights", "preset", "images", "edges", "name", "amax", "min",
                          "max", "step", "zero", "lo", "hi"}) {
    refused(replaced(good, fmt::format("\"{}\":", key), "\"other\":"));
  }
}

TEST_CASE("ranges of another model, with an edge too few or too many, are refused by name") {
  CatDog c;
  CHECK_NOTHROW(calib::quantise(c.graph, c.ranges));
  calib::Ranges other = c.ranges;
  other.model = "resnet50";
  CHECK(mentions(message_of([&] { calib::quantise(c.graph, other); }), "resnet50"));
  other = c.ranges;
  other.edges.erase(other.edges.begin() + 3);
  CHECK(mentions(message_of([&] { calib::quantise(c.graph, other); }), "cv3"));
  other = c.ranges;
  other.edges.push_back(other.edges[0]);
  other.edges.back().observer = "cv5";
  CHECK(mentions(message_of([&] { calib::quantise(c.graph, other); }), "cv5"));
  // The notebook's arithmetic: no zero points, no scale of 127 / 0.
  other = c.ranges;
  other.preset = calib::Preset::notebook;
  CHECK_NOTHROW(calib::quantise(c.graph, other));
  other.edges[2].amax = 0;
  CHECK(mentions(message_of([&] { calib::quantise(c.graph, other); }), "cv2"));
  other = c.ranges;
  other.preset = calib::Preset::notebook, other.scheme = calib::Scheme::affine;
  CHECK_THROWS_AS(calib::quantise(c.graph, other), Error);
  Graph empty = models::catdog();  // weights not loaded
  CHECK_THROWS_AS(calib::quantise(empty, c.ranges), Error);
}

TEST_CASE("ignore and only match from the start of a name, or a whole name") {
  CatDog c;
  const auto floats = [&](const calib::QuantiseOptions& options) {
    return in_float(calib::quantise(c.graph, c.ranges, options));
  };
  using Names = std::vector<std::string>;
  CHECK(floats({}).empty());
  CHECK(floats({.ignore = {"cnn2"}}) == Names{"cnn2", "maxpool2"});  // the pool follows its input
  CHECK(floats({.ignore = {"fc"}}) == Names{"fc1", "fc2"});          // from the start
  CHECK(floats({.ignore = {"fc1$"}}) == Names{"fc1"});
  CHECK(floats({.ignore = {".*2"}}) == Names{"cnn2", "maxpool2", "fc2"});
  CHECK(floats({.ignore = {"fc1", "fc2"}}) == Names{"fc1", "fc2"});
  CHECK(floats({.only = {"cnn", "maxpool", "fc"}}).empty());  // the flatten needs no naming
  const Names most = floats({.only = {"cnn1", "maxpool1"}});
  CHECK(most.size() == 9);  // three convolutions and their pools, two linear layers, and the flatten between them
  for (const QNode& n :
       calib::quantise(c.graph, c.ranges, {.ignore = {"cnn2"}, .only = {"cnn", "fc", "maxpool"}}).nodes) {
    if (n.name == "cnn2") CHECK(mentions(n.why, "--ignore cnn2"));
    if (n.name == "cnn1") CHECK(n.why.empty());
  }
  // What catches nothing is an error that lists close names; "nn1" is inside cnn1, but not at its start.
  for (const char* nothing : {"nn1", "cnn5", "cnn1x", "relu1", "bn1"}) {
    const std::string message = message_of([&] { floats({.ignore = {nothing}}); });
    CHECK(mentions(message, nothing));
    CHECK(mentions(message, "cnn1"));
    CHECK(mentions(message_of([&] { floats({.only = {nothing}}); }), "--only"));
  }
  CHECK(mentions(message_of([&] { floats({.ignore = {"cnn2", "cnn(1"}}); }), "cnn(1"));
  // A name with dots, brackets or plus signs is itself an expression that matches it.
  Graph g("names");
  EdgeId x = g.observe(g.input("image", Shape{1, 2, 2}), "in");
  x = g.observe(g.conv2d("features.0.conv[1]+", x, 1, conv(1)), "mid");
  g.set_output(g.observe(g.conv2d("featuresX0", x, 1, conv(1)), "out"));
  g.seed_weights(1);
  calib::Ranges r;
  r.model = "names";
  for (const char* name : {"in", "mid", "out"}) r.edges.push_back({name, 1, -1, 1, {.step = 1.0f / 127}});
  CHECK(in_float(calib::quantise(g, r, {.ignore = {"features.0.conv[1]+"}})) == Names{"features.0.conv[1]+"});
  CHECK(in_float(calib::quantise(g, r, {.ignore = {"features\\.0"}})) == Names{"features.0.conv[1]+"});
  CHECK(in_float(calib::quantise(g, r, {.ignore = {"features.0"}})).size() == 2);
}

TEST_CASE("per tensor and per channel steps") {
  CatDog c;
  for (const auto granularity : {calib::Granularity::tensor, calib::Granularity::channel}) {
    c.ranges.weights = granularity;
    const QGraph q = calib::quantise(c.graph, c.ranges);
    for (const QNode& n : q.nodes) {
      if (n.weight_step.empty()) continue;
      const auto [low, high] = std::ranges::minmax(n.weight_step);
      CHECK((low == high) == (granularity == calib::Granularity::tensor));
      // Some weight of every channel (or of the tensor) uses the whole range, and none goes beyond.
      const auto weights = n.weight.span<std::int8_t>();
      const auto largest = [&](std::size_t from, std::size_t count) {
        int most = 0;
        for (const std::int8_t w : weights.subspan(from, count)) most = std::max(most, std::abs(int{w}));
        return most;
      };
      CHECK(largest(0, weights.size()) == 127);
      const std::size_t per_channel = weights.size() / n.weight_step.size();
      for (std::size_t o = 0; granularity == calib::Granularity::channel && o < n.weight_step.size(); ++o) {
        CHECK(largest(o * per_channel, per_channel) == 127);
      }
    }
  }
}
