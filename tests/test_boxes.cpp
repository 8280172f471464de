// What stands behind CenterPoint's last integer: real functions, overlaps of turned rectangles, decoding, suppression.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <numbers>

#include "models/centerpoint/boxes.h"
#include "tests/random_graph.h"

using namespace octet;
using namespace octet::models;
using octet::test::Random;

namespace {

constexpr double kPi = std::numbers::pi;

// The share of `b` that lies in `a`, from a grid of n x n points of b: its error is at most the cells that the boundary
// of `a` crosses, 4 (n + 1) of n^2 a side at most.
double sampled_intersection(const BevBox& a, const BevBox& b, int n) {
  int inside = 0;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      const double u = ((i + 0.5) / n - 0.5) * b.du, v = ((j + 0.5) / n - 0.5) * b.dv;
      const double x = b.x + u * b.cosine - v * b.sine - a.x, y = b.y + u * b.sine + v * b.cosine - a.y;
      inside += std::fabs(x * a.cosine + y * a.sine) <= a.du / 2 && std::fabs(y * a.cosine - x * a.sine) <= a.dv / 2;
    }
  }
  return b.du * b.dv * inside / (static_cast<double>(n) * n);
}

CenterPointConfig small_config() {
  return centerpoint_config(R"({"range": [-6.4, -3.2, -2, 6.4, 3.2, 1], "voxel": [0.1, 0.1, 0.2],
                               "center_range": [-7, -4, -3, 7, 4, 3], "tasks": [["car"], ["bus", "truck"]],
                               "squared_radius": [1, 4]})",
                            "test");
}

struct Maps {
  CenterPointConfig config = small_config();
  HeadMaps heads = head_maps(config);
  std::int64_t cells = config.map_width() * config.map_height();
  std::vector<float> values = std::vector<float>(static_cast<std::size_t>(heads.channels * cells), 0.0f);

  Maps() {
    for (const TaskMaps& t : heads.tasks) {
      for (int c = 0; c < t.classes; ++c) {
        for (std::int64_t i = 0; i < cells; ++i) at(t.hm + c, i) = -10;
      }
    }
  }
  float& at(int channel, std::int64_t cell) { return values[static_cast<std::size_t>(channel * cells + cell)]; }
};

}  // namespace

TEST_CASE("real functions are the correctly rounded ones nearly always, and never off by more than one float") {
  Random random(5);
  int exp_off = 0, sigmoid_off = 0, atan_off = 0;
  double sine_error = 0;
  const auto ulps = [](float a, float b) {
    return std::abs(std::bit_cast<std::int32_t>(a) - std::bit_cast<std::int32_t>(b));
  };
  constexpr int kTries = 200'000;
  for (int i = 0; i < kTries; ++i) {
    const float x = random.real(80), y = random.real(3), z = random.chance(0.1) ? random.real(1e-3) : random.real(3);
    const float e = real::exp(x), s = real::sigmoid(x), a = real::atan2(y, z);
    const auto e2 = static_cast<float>(std::exp(static_cast<double>(x)));
    const auto s2 = static_cast<float>(1 / (1 + std::exp(-static_cast<double>(x))));
    const auto a2 = static_cast<float>(std::atan2(static_cast<double>(y), static_cast<double>(z)));
    REQUIRE(ulps(e, e2) <= 1);
    REQUIRE(ulps(s, s2) <= 1);
    REQUIRE(ulps(a, a2) <= 1);
    exp_off += e != e2, sigmoid_off += s != s2, atan_off += a != a2;
    const double angle = static_cast<double>(random.real(1000));
    const real::SineCosine turn = real::sine_cosine(angle);
    sine_error =
        std::max({sine_error, std::fabs(turn.sine - std::sin(angle)), std::fabs(turn.cosine - std::cos(angle))});
  }
  CHECK(exp_off + sigmoid_off + atan_off <= 3);
  // The reduction's two-part pi / 2 is good to 2^-87: 640 quarter turns of it, and the roundings of one angle.
  CHECK(sine_error < 1e-13);
  CHECK(real::exp(0.0f) == 1.0f);
  CHECK(real::exp(1000.0f) == std::numeric_limits<float>::infinity());
  CHECK(real::exp(-1000.0f) == 0.0f);
  CHECK(std::isnan(real::exp(std::numeric_limits<float>::quiet_NaN())));
  CHECK(real::sigmoid(0.0f) == 0.5f);
  CHECK(real::sigmoid(-200.0f) >= 0.0f);
  CHECK(real::sigmoid(200.0f) == 1.0f);
  CHECK(real::atan2(0.0f, 0.0f) == 0.0f);
  CHECK(real::atan2(0.0f, -1.0f) == static_cast<float>(kPi));
  CHECK(real::atan2(-1.0f, 0.0f) == static_cast<float>(-kPi / 2));
  CHECK(real::atan2(1.0f, 1.0f) == static_cast<float>(kPi / 4));
}

TEST_CASE("overlaps of turned rectangles by hand") {
  const BevBox square = BevBox::of(0, 0, 2, 2, 0);
  CHECK(overlap(square, square) == doctest::Approx(1).epsilon(1e-12));
  CHECK(overlap(square, BevBox::of(1, 0, 2, 2, 0)) == doctest::Approx(1.0 / 3).epsilon(1e-12));
  CHECK(overlap(square, BevBox::of(1, 1, 2, 2, 0)) == doctest::Approx(1.0 / 7).epsilon(1e-12));
  CHECK(overlap(square, BevBox::of(2.5, 0, 2, 2, 0)) == 0.0);
  CHECK(overlap(square, BevBox::of(2, 0, 2, 2, 0)) == doctest::Approx(0));  // they touch
  // Turned by 45 degrees: a regular octagon, 8 (sqrt 2 - 1).
  CHECK(intersection_area(square, BevBox::of(0, 0, 2, 2, kPi / 4)) == doctest::Approx(8 * (std::sqrt(2.0) - 1)));
  // A quarter turn of a long box: the square where they cross.
  CHECK(intersection_area(BevBox::of(3, 4, 10, 1, 0.3), BevBox::of(3, 4, 10, 1, 0.3 + kPi / 2)) == doctest::Approx(1));
  // One inside of the other; a whole turn changes nothing.
  CHECK(intersection_area(BevBox::of(0, 0, 9, 9, 0), BevBox::of(1, -1, 2, 1, 1.1)) == doctest::Approx(2));
  CHECK(overlap(BevBox::of(5, 5, 4, 2, 0.4), BevBox::of(5, 5, 4, 2, 0.4 + kPi)) == doctest::Approx(1));
  CHECK(overlap(BevBox::of(0, 0, 0, 2, 0), square) == 0.0);
  CHECK(overlap(BevBox::of(0, 0, -1, -2, 0), square) == 0.0);
  CHECK(overlap(BevBox::of(0, 0, std::nan(""), 2, 0), square) == 0.0);
}

TEST_CASE("overlaps of random rectangles against counting points, symmetric and unchanged by moving both") {
  Random random(11);
  int met = 0;
  for (int i = 0; i < 300; ++i) {
    const auto side = [&] { return 0.3 + 5 * random.unit(); };
    const auto angle = [&] { return 2 * kPi * random.unit() - kPi; };
    const double turn = random.chance(0.2) ? 0 : angle();
    const BevBox a = BevBox::of(4 * random.unit(), 4 * random.unit(), side(), side(), turn);
    const BevBox b =
        BevBox::of(4 * random.unit(), 4 * random.unit(), side(), side(), random.chance(0.2) ? turn : angle());
    constexpr int n = 100;
    const double exact = intersection_area(a, b), counted = sampled_intersection(a, b, n);
    // Each of the four sides of `a` crosses at most 2 n of the n^2 cells of b; a crossed cell errs by one at most.
    CHECK(std::fabs(exact - counted) <= b.du * b.dv * 8 * n / (n * n));
    CHECK(exact == doctest::Approx(intersection_area(b, a)).epsilon(1e-9));
    CHECK(overlap(a, b) >= 0);
    CHECK(overlap(a, b) <= 1 + 1e-12);
    met += exact > 0;
  }
  CHECK(met > 150);
}

TEST_CASE("a cell decodes to its box; scores are sorted before anything is cut") {
  Maps m;
  const TaskMaps& car = m.heads.tasks[0];
  const std::int64_t width = m.config.map_width();
  REQUIRE(width == 16);
  REQUIRE(m.config.map_height() == 8);
  const std::int64_t cell = 3 * width + 5;
  m.at(car.hm, cell) = 2;
  m.at(car.reg, cell) = 0.25f, m.at(car.reg + 1, cell) = 0.5f, m.at(car.height, cell) = -1;
  m.at(car.dim, cell) = std::log(1.9f), m.at(car.dim + 1, cell) = std::log(4.5f), m.at(car.dim + 2, cell) = 0.5f;
  m.at(car.rot, cell) = 0.5f, m.at(car.rot + 1, cell) = -0.5f;
  m.at(car.vel, cell) = 3, m.at(car.vel + 1, cell) = -4;
  DecodeCounts counts;
  const auto boxes = boxes_of(m.values, m.config, counts);
  REQUIRE(boxes.size() == 1);
  const Box& b = boxes[0];
  CHECK(b.label == 0);
  CHECK(b.score == doctest::Approx(1 / (1 + std::exp(-2.0))));
  CHECK(b.x == doctest::Approx(5.25 * 0.8 - 6.4));
  CHECK(b.y == doctest::Approx(3.5 * 0.8 - 3.2));
  CHECK(b.z == -1);
  CHECK(b.dx == doctest::Approx(1.9));
  CHECK(b.dy == doctest::Approx(4.5));
  CHECK(b.dz == doctest::Approx(std::exp(0.5)));
  CHECK(b.yaw == doctest::Approx(0.75 * kPi));
  CHECK(b.vx == 3);
  CHECK(b.vy == -4);
  CHECK(counts.candidates == 1);

  // The best class of a cell is its label; the first of two equals. Below the threshold, or not a number: nothing.
  const TaskMaps& big = m.heads.tasks[1];
  m.at(big.hm, 0) = 1, m.at(big.hm + 1, 0) = 1.5f;
  m.at(big.hm, 40) = m.at(big.hm + 1, 40) = 1;
  m.at(big.hm, 70) = -2.3f;  // sigmoid 0.0911
  m.at(big.hm, 71) = std::nanf("");
  DecodeCounts of_big;
  const auto sorted = decode(m.values, big, m.config, of_big);
  REQUIRE(sorted.size() == 2);
  CHECK(sorted[0].label == 2);
  CHECK(sorted[1].label == 1);
  CHECK(of_big.candidates == 2);

  // Equal scores in the order of their cells; the best of all in the last cell survives a cut to two.
  Maps many;
  for (std::int64_t i = 0; i < many.cells; i += 9) many.at(car.hm, i) = 0.5f;
  many.at(car.hm, many.cells - 1) = 3;
  many.config.most_candidates = 2;
  DecodeCounts cut;
  const auto best = decode(many.values, car, many.config, cut);
  REQUIRE(best.size() == 2);
  CHECK(best[0].score > best[1].score);
  CHECK(best[1].x == doctest::Approx(-6.4));
  CHECK(cut.dropped_candidates == cut.candidates - 2);
  CHECK(cut.candidates > 10);

  // Outside of the range of centres, and sizes beyond floats.
  Maps out;
  out.at(car.hm, 0) = out.at(car.hm, 1) = out.at(car.hm, 2) = 1;
  out.at(car.reg, 0) = -5, out.at(car.dim, 1) = 200;
  DecodeCounts outside;
  CHECK(decode(out.values, car, out.config, outside).size() == 1);
  CHECK(outside.out_of_range == 2);
}

TEST_CASE("suppression: turned boxes by overlap, circles by distance, limits counted") {
  CenterPointConfig config = small_config();
  const auto box = [](float score, float x, float y, float dx, float dy, float yaw) {
    return Box{.label = 0, .score = score, .x = x, .y = y, .dx = dx, .dy = dy, .dz = 1, .yaw = yaw};
  };
  // The second overlaps the first, the third only the second: it stays. The fourth crosses the first at a right angle,
  // a seventh of both: it stays too, though its centre is the same.
  const std::vector<Box> sorted = {box(0.9f, 0, 0, 1, 4, 0), box(0.8f, 0, 1, 1, 4, 0), box(0.7f, 0, 3, 1, 4, 0),
                                   box(0.6f, 0, 0, 1, 4, static_cast<float>(kPi / 2))};
  DecodeCounts counts;
  auto kept = suppress(sorted, config, 0, counts);
  REQUIRE(kept.size() == 3);
  CHECK(kept[1].score == 0.7f);
  CHECK(kept[2].score == 0.6f);
  // A positive yaw turns clockwise: the far end of a box at yaw 0.5 meets what lies there, and not its mirror image.
  const float s = std::sin(0.5f), c = std::cos(0.5f);
  const std::vector<Box> turned = {box(0.9f, 0, 0, 1, 8, 0.5f), box(0.8f, 3 * s, 3 * c, 1, 2, 0.5f),
                                   box(0.7f, -3 * s, 3 * c, 1, 2, 0.5f)};
  config.overlap = 0.1f;
  kept = suppress(turned, config, 0, counts);
  REQUIRE(kept.size() == 2);
  CHECK(kept[1].score == 0.7f);

  config.nms = CenterPointConfig::Nms::circle;  // task 0: 1 m, task 1: 2 m
  kept = suppress(sorted, config, 0, counts);
  REQUIRE(kept.size() == 2);
  CHECK(kept[1].y == 3);
  CHECK(suppress(std::vector<Box>{box(0.9f, 0, 0, 1, 1, 0), box(0.8f, 0, 1.9f, 1, 1, 0)}, config, 1, counts).size() ==
        1);

  config.nms = CenterPointConfig::Nms::rotated;
  config.overlap = 0.2f;
  config.most_boxes = 2;
  DecodeCounts limited;
  CHECK(suppress(sorted, config, 0, limited).size() == 2);
  CHECK(limited.dropped_boxes == 1);
}
