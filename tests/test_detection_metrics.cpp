// mAP and NDS: equal to nuscenes-devkit's on made-up frames (goldens/make_nuscenes_metrics.py), and right where one
// knows the answer without it.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "models/centerpoint/scored_frame.h"
#include "runtime/error.h"
#include "tests/program.h"

using namespace octet;
using namespace octet::models;
using nlohmann::json;
using octet::testing::TempFolder;

namespace {

const MetricRules& rules() { return nuscenes_rules(); }

Box box_from(const json& b, const std::vector<std::string>& labels) {
  const auto label = std::ranges::find(labels, b[0].get<std::string>());
  REQUIRE(label != labels.end());
  const auto at = [&](std::size_t i) {
    const auto value = b[i].get<double>();
    REQUIRE(static_cast<double>(static_cast<float>(value)) == value);  // else the devkit saw another box
    return static_cast<float>(value);
  };
  return {
      static_cast<int>(label - labels.begin()), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9), at(10)};
}

void check_errors(const json& expected, const TpErrors& errors) {
  for (std::size_t e = 0; e < kTpErrors; ++e) {
    CAPTURE(kTpErrorNames[e]);
    CHECK(std::isnan(errors[e]) == expected[e].is_null());
    if (!expected[e].is_null()) CHECK(std::abs(errors[e] - expected[e].get<double>()) < 1e-6);
  }
}

// A frame of every class, each object found exactly.
ScoredBox object(int kind, double x, double y) {
  ScoredBox b{.kind = kind, .x = x, .y = y, .length = 4, .width = 2, .height = 1.5, .heading = 0.3, .vx = 1, .vy = 2};
  if (rules().kinds[static_cast<std::size_t>(kind)].moves) b.attribute = "any";
  b.distance = std::hypot(x, y);
  return b;
}
std::vector<ScoredBox> objects(int each) {
  std::vector<ScoredBox> all;
  for (int kind = 0; kind < 10; ++kind) {
    for (int i = 0; i < each; ++i) all.push_back(object(kind, 5.0 * i, 1.0 * kind));
  }
  for (std::size_t i = 0; i < all.size(); ++i) all[i].score = 0.1 + 0.8 * static_cast<double>(i * 37 % 101) / 101;
  return all;
}

double ap_of(const std::vector<ScoredBox>& truth, const std::vector<ScoredBox>& found, std::size_t threshold = 2) {
  const FrameMatches frame = match_frame(truth, found, rules());
  return metrics_of({&frame, 1}, rules()).classes[0].ap[threshold];
}

}  // namespace

TEST_CASE("equal to nuscenes-devkit to 1e-6: noise, ties, slopes, bicycle racks, crowds, nothing") {
  const json cases = json::parse(testing::read_text(OCTET_SOURCE_DIR "/tests/goldens/nuscenes_metrics.json"));
  REQUIRE(cases.size() >= 8);
  const CenterPointConfig config;
  const TempFolder folder;
  for (const json& one : cases) {
    CAPTURE(one["name"].get<std::string>());
    std::vector<FrameMatches> frames;
    for (const json& frame : one["frames"]) {
      testing::write_text(folder / "frame.annotations.json", frame.dump());
      std::vector<Box> boxes;
      for (const json& b : frame["boxes"]) boxes.push_back(box_from(b, config.labels()));
      frames.push_back(score_frame(read_annotations(folder / "frame.annotations.json"), boxes, config));
    }
    const DetectionMetrics m = metrics_of(frames, rules());
    const json& expected = one["expected"];
    CHECK(std::abs(m.mean_ap - expected["mAP"].get<double>()) < 1e-6);
    CHECK(std::abs(m.nds - expected["NDS"].get<double>()) < 1e-6);
    check_errors(expected["errors"], m.errors);
    REQUIRE(m.classes.size() == expected["classes"].size());
    for (const ClassMetrics& c : m.classes) {
      CAPTURE(c.name);
      const json& row = expected["classes"][c.name];
      for (std::size_t t = 0; t < 4; ++t) CHECK(std::abs(c.ap[t] - row["ap"][t].get<double>()) < 1e-6);
      check_errors(row["errors"], c.errors);
    }
  }
}

TEST_CASE("everything found exactly: 1; nothing found, or only what is not there: 0") {
  const std::vector<ScoredBox> truth = objects(12);
  const FrameMatches perfect = match_frame(truth, truth, rules());
  const DetectionMetrics all = metrics_of({&perfect, 1}, rules());
  CHECK(all.mean_ap == doctest::Approx(1).epsilon(1e-12));
  CHECK(all.nds == doctest::Approx(1).epsilon(1e-12));
  for (const double e : all.errors) CHECK(e == doctest::Approx(0));

  std::vector<ScoredBox> elsewhere = truth;
  for (ScoredBox& b : elsewhere) b.x += 1000;
  for (const auto& found : {std::vector<ScoredBox>{}, elsewhere}) {
    const FrameMatches frame = match_frame(truth, found, rules());
    const DetectionMetrics none = metrics_of({&frame, 1}, rules());
    CHECK(none.mean_ap == 0);
    CHECK(none.nds == 0);
  }
  CHECK(metrics_of({}, rules()).nds == 0);
}

TEST_CASE("the area below the curve, by hand") {
  const auto at = [](double x, double score) {
    ScoredBox b = object(0, x, 0);
    b.score = score;
    return b;
  };
  // Two cars, one found: precision 1 up to a recall of 0.5 (40 of the 90 places above 0.1), 0 beyond it.
  CHECK(ap_of({at(0, 0), at(20, 0)}, {at(0, 0.9)}) == doctest::Approx(40.0 / 90));
  // A better box where nothing is: the precision rises from 0 to 1 / 2 at the recall 1, linearly from 0: at recall r it
  // is r / 2 (numpy's interpolation between the two points), of which 0.1 counts for nothing.
  double sum = 0;
  for (int i = 11; i <= 100; ++i) sum += std::max(0.0, 0.005 * i - 0.1);
  CHECK(ap_of({at(0, 0)}, {at(90, 0.9), at(0, 0.8)}) == doctest::Approx(sum / 90 / 0.9));
  // A tie: the one given last comes first, so that the precision only falls, to 1 / 2, at the last of the 90 places.
  CHECK(ap_of({at(0, 0)}, {at(90, 0.8), at(0, 0.8)}) == doctest::Approx((89 + 0.4 / 0.9) / 90));
  // A distance equal to the threshold is no match.
  CHECK(ap_of({at(0, 0)}, {at(2, 0.8)}, 2) == 0);
  CHECK(ap_of({at(0, 0)}, {at(2, 0.8)}, 3) == doctest::Approx(1));
  // The better box takes the nearest car, although the other would then have none left near enough.
  CHECK(ap_of({at(0, 0), at(3, 0)}, {at(1.4, 0.9), at(-1.9, 0.8)}, 2) < 0.5);
}

TEST_CASE("what the metrics may not depend on: order of frames and boxes without ties, scale of the scores") {
  std::mt19937 random(5);
  const auto uniform = [&](double low, double high) { return std::uniform_real_distribution<>(low, high)(random); };
  std::vector<std::vector<ScoredBox>> truths, founds;
  for (int f = 0; f < 6; ++f) {
    truths.push_back(objects(6)), founds.emplace_back();
    for (ScoredBox b : truths.back()) {
      if (uniform(0, 1) < 0.2) continue;
      b.x += uniform(-1.5, 1.5), b.y += uniform(-1.5, 1.5), b.score = uniform(0.1, 0.9);
      founds.back().push_back(b);
    }
  }
  const auto score = [&](const std::vector<std::size_t>& order, bool squared) {
    std::vector<FrameMatches> frames;
    for (const std::size_t f : order) {
      std::vector<ScoredBox> truth = truths[f], found = founds[f];
      std::ranges::shuffle(truth, random), std::ranges::shuffle(found, random);
      for (ScoredBox& b : found) b.score = squared ? b.score * b.score : b.score;
      frames.push_back(match_frame(truth, found, rules()));
    }
    return metrics_of(frames, rules());
  };
  const DetectionMetrics first = score({0, 1, 2, 3, 4, 5}, false), other = score({3, 1, 5, 0, 2, 4}, true);
  CHECK(first.mean_ap > 0.1);
  CHECK(first.mean_ap < 0.9);
  CHECK(other.mean_ap == doctest::Approx(first.mean_ap).epsilon(1e-12));
  for (std::size_t e : {kTranslation, kScale, kOrientation, kVelocity, kAttribute}) {
    // Errors are read at interpolated scores, which squaring bends a little.
    CHECK(other.errors[e] == doctest::Approx(first.errors[e]).epsilon(0.05));
  }
}

TEST_CASE("losses: nothing between equals; the interval holds the loss and shrinks with the root of the frames") {
  std::mt19937 random(11);
  const auto uniform = [&](double low, double high) { return std::uniform_real_distribution<>(low, high)(random); };
  std::vector<FrameMatches> good, bad;
  for (int f = 0; f < 160; ++f) {
    std::vector<ScoredBox> truth, found;
    for (int i = 0; i < 4; ++i) truth.push_back(object(0, 12.0 * i, uniform(0, 5)));
    for (ScoredBox b : truth) {
      b.score = uniform(0.1, 0.9), b.x += uniform(-1, 1);
      found.push_back(b);
    }
    good.push_back(match_frame(truth, found, rules()));
    std::erase_if(found, [&](const ScoredBox&) { return uniform(0, 1) < 0.2; });
    bad.push_back(match_frame(truth, found, rules()));
  }
  const Losses none = losses_of(good, good, rules(), 20);
  CHECK(none.mean_ap.low == 0);
  CHECK(none.mean_ap.high == 0);
  const Losses all = losses_of(good, bad, rules(), 200), again = losses_of(good, bad, rules(), 200);
  CHECK(all.mean_ap.value == doctest::Approx(metrics_of(good, rules()).mean_ap - metrics_of(bad, rules()).mean_ap));
  CHECK(all.nds.value == doctest::Approx(metrics_of(good, rules()).nds - metrics_of(bad, rules()).nds));
  CHECK(all.mean_ap.low == again.mean_ap.low);
  CHECK(all.mean_ap.low > 0);
  CHECK(all.mean_ap.low < all.mean_ap.value);
  CHECK(all.mean_ap.value < all.mean_ap.high);
  CHECK(losses_of(bad, good, rules(), 200).mean_ap.value == doctest::Approx(-all.mean_ap.value));
  const Losses few = losses_of(std::span(good).first(40), std::span(bad).first(40), rules(), 200);
  const double ratio = (few.mean_ap.high - few.mean_ap.low) / (all.mean_ap.high - all.mean_ap.low);
  CHECK(ratio > 1.3);  // 2 is expected of four times the frames
  CHECK(ratio < 3);
  CHECK_THROWS_AS(losses_of(good, std::span(bad).first(3), rules()), Error);
}

TEST_CASE("limits: range, points, racks, the most boxes of a frame") {
  std::vector<ScoredBox> boxes = {object(0, 49.9, 0), object(0, 50, 0), object(5, 40.5, 0), object(7, 3, 0)};
  boxes[0].points = 1;
  filter_boxes(boxes, {}, rules());
  CHECK(boxes.size() == 2);
  boxes[0].points = 0;
  const std::vector<ScoredBox> rack = {object(0, 3, 0.9)};
  filter_boxes(boxes, rack, rules());
  CHECK(boxes.empty());

  const std::vector<ScoredBox> many(501, object(0, 1, 1));
  CHECK_THROWS_WITH_AS(match_frame({}, many, rules()), "501 boxes were found in a frame; 500 are scored at most",
                       Error);
  // score_frame() leaves out the worst.
  std::vector<Box> found(600, Box{.label = 0, .score = 0.25f, .x = 30, .dx = 2, .dy = 4, .dz = 1});
  found[599] = {.label = 0, .score = 0.5f, .x = 1, .dx = 2, .dy = 4, .dz = 1};
  const FrameMatches frame = score_frame({.boxes = {{.label = "car", .x = 1, .length = 4, .width = 2, .height = 1}}},
                                         found, CenterPointConfig{});
  CHECK(frame[0].found.size() == 500);
  CHECK(frame[0].found.back().score == 0.5);
  CHECK(frame[0].found.back().matched == 15);

  CenterPointConfig config;
  config.tasks[0][0] = "van";
  CHECK_THROWS_WITH_AS(score_frame({}, {}, config), "the class 'van' cannot be scored: it is none of nuScenes' ten",
                       Error);
}

TEST_CASE("annotations: what is in the file, and what is wrong with one") {
  const TempFolder folder;
  const std::string path = folder / "f.annotations.json";
  const auto read = [&](const std::string& text) {
    testing::write_text(path, text);
    return read_annotations(path);
  };
  const Annotations a = read(R"({"ego2global": [[1,0,0,5],[0,1,0,6],[0,0,1,7],[0,0,0,1]], "instances": [{"note": "NaN"},
    {"class": "car", "box": [1,2,3,4,5,6,7], "velocity": [NaN, 2], "num_lidar_pts": 0, "num_radar_pts": 3,
     "attribute": "vehicle.parked"}, {"class": "bus", "box": [1,2,3,4,5,6,7]}]})");
  REQUIRE(a.boxes.size() == 2);
  CHECK(a.ego_to_global[7] == 6);
  CHECK(a.lidar_to_ego == Annotations::kIdentity);
  CHECK(a.boxes[0].heading == 7);
  CHECK(std::isnan(a.boxes[0].vx));
  CHECK(a.boxes[0].vy == 2);
  CHECK(a.boxes[0].points == 3);
  CHECK(a.boxes[0].attribute == "vehicle.parked");
  CHECK(a.boxes[1].points == -1);
  CHECK(std::isnan(a.boxes[1].vy));

  const auto refuses = [&](const std::string& text, const std::string& part) {
    CAPTURE(text);
    try {
      read(text);
      FAIL("was read");
    } catch (const Error& e) {
      CAPTURE(std::string(e.what()));
      CHECK(std::string(e.what()).starts_with(path));
      CHECK(std::string(e.what()).find(part) != std::string::npos);
    }
  };
  refuses("", "is empty");
  refuses("{", "not annotations");
  refuses("[]", "no list \"instances\"");
  refuses(R"({"instances": [3]})", "instance 0: 3, an object was expected");
  refuses(R"({"instances": [{}, {"box": [1,2,3]}]})", "instance 1: 'box' is a list of 3");
  refuses(R"({"instances": [{"box": [1,2,3,4,5,6,"x"]}]})", "'box' holds \"x\"");
  refuses(R"({"instances": [{"box": [1,2,3,4,5,6,NaN]}]})", "'box' holds null");
  refuses(R"({"instances": [{"box": [1,2,3,4,0,6,7]}]})", "all above 0");
  refuses(R"({"instances": [{"box": [1,2,3,4,5,6,7], "velocity": 3}]})", "'velocity' is 3");
  refuses(R"({"instances": [{"box": [1,2,3,4,5,6,7], "num_lidar_pts": -2}]})", "'num_lidar_pts' is -2");
  refuses(R"({"instances": [{"box": [1,2,3,4,5,6,7], "class": 2}]})", "'class' is 2, text was expected");
  refuses(R"({"lidar2ego": [[1,0,0,0]], "instances": []})", "'lidar2ego': four rows");
  CHECK_THROWS_AS(read_annotations(folder / "none.annotations.json"), Error);
}
