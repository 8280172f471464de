// The arithmetic contract, rule by rule, against exact computation in wider types and against numbers worked by hand.
// calib/QUANTIZATION.md derives the rules; "rule N" is its section N.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "calib/ranges.h"
#include "runtime/arithmetic.h"
#include "runtime/error.h"
#include "runtime/float_environment.h"
#include "runtime/qgraph.h"
#include "runtime/tensor.h"
#include "runtime/weight_scan.h"

using namespace octet;
using namespace octet::arithmetic;

namespace {

std::int64_t rne(double x) { return std::llrint(x); }  // the tests run in the default mode

// A product of two floats is exact in double, so that the only rounding is the one to float.
float product(float a, float b) { return static_cast<float>(static_cast<double>(a) * static_cast<double>(b)); }

std::int64_t bounded(double x, double lo, double hi) { return rne(std::min(std::max(x, lo), hi)); }

// Hides a value from the compiler, so that nothing is computed while compiling.
template <class T>
T opaque(T value) {
  volatile T hidden = value;
  return hidden;
}

}  // namespace

TEST_CASE("rounding is to nearest, halves to even, on both sides of zero") {
  const struct {
    float x;
    int wanted;
  } by_hand[] = {{0.5f, 0},
                 {1.5f, 2},
                 {2.5f, 2},
                 {-0.5f, 0},
                 {-1.5f, -2},
                 {-2.5f, -2},
                 {126.5f, 126},
                 {127.5f, 128},
                 {-126.5f, -126},
                 {254.5f, 254},
                 {0.49999997f, 0},
                 {0.50000006f, 1},
                 {-0.0f, 0},
                 {4194303.5f, 4194304},
                 {-4194303.5f, -4194304},
                 {4194304.0f, 4194304},
                 {1e-45f, 0}};
  for (const auto& [x, wanted] : by_hand) CHECK_MESSAGE(round_even(opaque(x)) == wanted, "of " << x);
  // Every quarter up to the largest difference that a clamp lets through, and its two neighbours.
  for (int quarter = -4 * 300; quarter <= 4 * 300; ++quarter) {
    const float x = static_cast<float>(quarter) / 4;
    for (const float y : {x, std::nextafter(x, 1e9f), std::nextafter(x, -1e9f)}) {
      REQUIRE(round_even(y) == rne(static_cast<double>(y)));
    }
  }
  std::mt19937_64 random(1);
  for (int i = 0; i < 200000; ++i) {
    const auto x = static_cast<float>((static_cast<double>(random() >> 11) * 0x1p-53 - 0.5) * 0x1p23);
    REQUIRE(round_even(x) == rne(static_cast<double>(x)));
  }
}

TEST_CASE("round_significant keeps the given number of bits, halves to even") {
  std::mt19937_64 random(2);
  for (int i = 0; i < 100000; ++i) {
    const double x =
        std::ldexp(1.0 + static_cast<double>(random() >> 12) * 0x1p-52, static_cast<int>(random() % 200) - 100);
    int exponent = 0;
    const double fraction = std::frexp(x, &exponent);
    REQUIRE(round_significant(x, 16) == std::ldexp(std::nearbyint(std::ldexp(fraction, 16)), exponent - 16));
  }
  CHECK(round_significant(65536.0 + 0.5, 16) == 65536.0);  // a carry-free tie: down to even
  CHECK(round_significant(32768.5, 16) == 32768.0);        // tie, even below
  CHECK(round_significant(32769.5, 16) == 32770.0);        // tie, even above
  CHECK(round_significant(65535.75, 16) == 65536.0);       // the carry reaches the exponent
}

TEST_CASE("rule 1: the step is amax / 127, rounded once; 127 / amax is another number") {
  CHECK(symmetric_step(127.0f) == 1.0f);
  CHECK(symmetric_step(254.0f) == 2.0f);
  CHECK(symmetric_step(255.0f) == static_cast<float>(255.0 / 127.0));
  CHECK(inverse_step(0.5f) == 2.0f);
  std::mt19937_64 random(3);
  int differs = 0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    const auto amax = static_cast<float>(
        std::ldexp(1.0 + static_cast<double>(random() >> 12) * 0x1p-52, static_cast<int>(random() % 40) - 20));
    const float step = symmetric_step(amax);
    // The nearest float: neither neighbour times 127 is closer to amax (exact in double, 24 + 7 bits).
    const auto off = [&](float s) { return std::fabs(static_cast<double>(s) * 127.0 - static_cast<double>(amax)); };
    REQUIRE(off(step) <= off(std::nextafter(step, 0.0f)));
    REQUIRE(off(step) <= off(std::nextafter(step, std::numeric_limits<float>::infinity())));
    // And the inverse: the nearest float to 1 / step. One of s * f - 1 is exact in double.
    const float inverse = inverse_step(step);
    const auto miss = [&](float f) { return std::fabs(static_cast<double>(step) * static_cast<double>(f) - 1.0); };
    REQUIRE(miss(inverse) <= miss(std::nextafter(inverse, 0.0f)));
    REQUIRE(miss(inverse) <= miss(std::nextafter(inverse, std::numeric_limits<float>::infinity())));
    differs += inverse != 127.0f / amax;
  }
  MESSAGE("1 / (amax / 127) differs from 127 / amax for ", 100.0 * differs / kCount, " % of amax");
  CHECK(differs > kCount / 5);  // design.md: a quarter
  CHECK(differs < kCount / 3);
}

TEST_CASE("rule 2: quantise clamps, rounds, then adds the zero point") {
  const QuantParams symmetric{.step = 0.5f};
  CHECK(quantise(0.25f, symmetric) == 0);  // 0.5 -> 0
  CHECK(quantise(0.75f, symmetric) == 2);  // 1.5 -> 2
  CHECK(quantise(-0.25f, symmetric) == 0);
  CHECK(quantise(-0.75f, symmetric) == -2);
  CHECK(quantise(63.5f, symmetric) == 127);
  CHECK(quantise(63.76f, symmetric) == 127);
  CHECK(quantise(-1e30f, symmetric) == -127);
  CHECK(quantise(std::numeric_limits<float>::infinity(), symmetric) == 127);
  CHECK(quantise(-std::numeric_limits<float>::infinity(), symmetric) == -127);
  const QuantParams affine{.step = 1.0f, .zero = 3, .lo = 0, .hi = 255};
  CHECK(quantise(0.5f, affine) == 3);  // ties are even before the zero point is added: (0.5 -> 0) + 3, not 3.5 -> 4
  CHECK(quantise(1.5f, affine) == 5);
  CHECK(quantise(-3.4f, affine) == 0);
  CHECK(quantise(-100.0f, affine) == 0);
  CHECK(quantise(252.4f, affine) == 255);
  CHECK(quantise(1e9f, affine) == 255);
  std::mt19937_64 random(4);
  for (int i = 0; i < 200000; ++i) {
    QuantParams q;
    q.step = static_cast<float>(
        std::ldexp(1.0 + static_cast<double>(random() >> 12) * 0x1p-52, static_cast<int>(random() % 20) - 15));
    if (i % 2 == 0)
      q.lo = 0, q.hi = i % 4 == 0 ? 255 : 127, q.zero = static_cast<int>(random() % static_cast<unsigned>(q.hi + 1));
    float x = static_cast<float>((static_cast<double>(random() >> 11) * 0x1p-53 - 0.5) * 300) * q.step;
    if (i % 3 == 0) x = (static_cast<float>(static_cast<int>(random() % 300) - 150) + 0.5f) * q.step;  // near ties
    const auto inverse = static_cast<float>(1.0 / static_cast<double>(q.step));
    const auto wanted = bounded(static_cast<double>(product(x, inverse)), q.lo - q.zero, q.hi - q.zero) + q.zero;
    REQUIRE(quantise(x, q) == wanted);
    REQUIRE(dequantise(static_cast<std::int32_t>(wanted), q.step, q.zero) ==
            product(q.step, static_cast<float>(wanted - q.zero)));
  }
}

TEST_CASE("rule 3: dead edges have step 1 and one value") {
  for (const float amax : {0.0f, 1e-30f, kDeadRange}) {
    CHECK(symmetric_step(amax) == 1.0f);
    for (const auto scheme : {calib::Scheme::symmetric, calib::Scheme::affine}) {
      const QuantParams q = calib::quant_params(scheme, false, amax, -amax, amax);
      CHECK(q.dead);
      CHECK(q.step == 1.0f);
      for (const float x : {0.0f, 1.0f, -500.0f, 1e30f}) CHECK(quantise(x, q) == q.zero);
    }
  }
  const float alive = std::nextafter(kDeadRange, 1.0f);
  CHECK_FALSE(calib::quant_params(calib::Scheme::symmetric, false, alive, 0, alive).dead);
  CHECK(symmetric_step(alive) < 1e-9f);
  CHECK(std::isnormal(symmetric_step(alive)));
}

TEST_CASE("affine ranges hold zero exactly and cover what was seen") {
  using calib::quant_params;
  const auto affine = [](float lo, float hi, bool reduce = false) {
    return quant_params(calib::Scheme::affine, reduce, std::max(-lo, hi), lo, hi);
  };
  CHECK(affine(0, 255) == QuantParams{1.0f, 0, 0, 255, false});
  CHECK(affine(-255, 0) == QuantParams{1.0f, 255, 0, 255, false});
  CHECK(affine(-100, 155) == QuantParams{1.0f, 100, 0, 255, false});
  CHECK(affine(0, 127, true) == QuantParams{1.0f, 0, 0, 127, false});
  CHECK(affine(10, 255) == QuantParams{1.0f, 0, 0, 255, false});  // widened to hold 0
  CHECK(affine(-255, -10) == QuantParams{1.0f, 255, 0, 255, false});
  CHECK(affine(-0.5f, 254.5f).zero == 0);  // 0.5 rounds to even
  CHECK(affine(-1.5f, 253.5f).zero == 2);
  std::mt19937_64 random(5);
  for (int i = 0; i < 50000; ++i) {
    const auto lo = -static_cast<float>(random() % 100000) / 1000,
               hi = static_cast<float>(1 + random() % 100000) / 1000;
    const QuantParams q = affine(lo, hi, i % 2 == 0);
    REQUIRE(q.zero >= q.lo);
    REQUIRE(q.zero <= q.hi);
    REQUIRE(quantise(0.0f, q) == q.zero);
    // Both ends lie within half a step (and the float rounding of x * inverse) of what the integers can express.
    for (const float end : {lo, hi}) {
      const double back = static_cast<double>(dequantise(quantise(end, q), q.step, q.zero));
      REQUIRE(std::fabs(back - static_cast<double>(end)) <= static_cast<double>(q.step) * (0.5 + 255 * 0x1p-22));
    }
  }
}

TEST_CASE("rules 3 and 4: weight steps widen until the bias fits 2^29 steps") {
  CHECK(weight_step(1.27f, 0.0f, 0.1f) == static_cast<float>(static_cast<double>(1.27f) / 127.0));
  CHECK(weight_step(0.0f, 0.0f, 0.1f) == 1.0f);
  CHECK(weight_step(1e-44f, 0.0f, 0.1f) == 1.0f);  // no normal step: no weight survives
  // A near-dead channel whose bias would need 1e11 steps: weights of 1e-9, a bias of 10, an input step of 0.01.
  CHECK(10.0 / (0.01 * (1e-9 / 127)) > 1e11);
  const float widened = weight_step(1e-9f, 10.0f, 0.01f);
  CHECK(widened == static_cast<float>(10.0 / (static_cast<double>(0.01f) * kBiasSteps)));
  CHECK(std::llabs(quantise_bias(10.0f, 0.01f, widened) - (1 << 29)) <= 64);  // 2^29 and the rounding of the step
  CHECK(quantise_bias(10.0f, 0.01f, widened) == -quantise_bias(-10.0f, 0.01f, widened));
  CHECK(weight_step(1e-9f, -10.0f, 0.01f) == widened);
  CHECK(quantise_bias(0.5f, 1.0f, 1.0f) == 0);
  CHECK(quantise_bias(1.5f, 1.0f, 1.0f) == 2);
  CHECK(quantise_bias(-2.5f, 1.0f, 1.0f) == -2);
  std::mt19937_64 random(6);
  for (int i = 0; i < 100000; ++i) {
    const auto unit = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
    const auto bias = static_cast<float>((unit() - 0.5) * std::ldexp(1.0, static_cast<int>(random() % 60) - 30));
    const auto amax = static_cast<float>(unit() * std::ldexp(1.0, static_cast<int>(random() % 60) - 40));
    const auto step_in = static_cast<float>((unit() + 0.001) * 10);
    const float step = weight_step(amax, bias, step_in);
    REQUIRE(std::isnormal(step));
    const std::int64_t q = quantise_bias(bias, step_in, step);
    REQUIRE(q == rne(static_cast<double>(bias) / (static_cast<double>(step_in) * static_cast<double>(step))));
    REQUIRE(std::llabs(q) <= (1 << 29) + 64);
    if (amax > 0) REQUIRE(std::fabs(static_cast<double>(amax) / static_cast<double>(step)) <= 127.0 * (1 + 0x1p-23));
  }
}

TEST_CASE("rule 5: the accumulator bound is exact, and 2^31 itself is refused") {
  QNode node{.name = "layer", .op = Op::linear};
  node.weight = Tensor(DType::s8, Shape{2, 3});
  const std::int8_t weights[] = {127, -127, 1, -5, 6, 7};
  std::ranges::copy(weights, node.weight.span<std::int8_t>().begin());
  node.bias_q = {-100, 20};
  CHECK(accumulator_bound(node, {.zero = 0, .lo = -127, .hi = 127}, 0) == 100 + 255 * 127);
  CHECK(accumulator_bound(node, {.zero = 0, .lo = -128, .hi = 127}, 1) == 20 + 18 * 128);
  CHECK(accumulator_bound(node, {.zero = 10, .lo = 0, .hi = 255}, 0) == 100 + 255 * 245);
  CHECK(accumulator_bound(node, {.zero = 250, .lo = 0, .hi = 255}, 1) == 20 + 18 * 250);
  node.bias_q = {std::numeric_limits<std::int32_t>::min(), 0};
  CHECK(accumulator_bound(node, {}, 0) == (std::int64_t{1} << 31) + 255 * 127);

  // A graph at the edge: the largest bound that fits, and one more.
  QGraph graph;
  graph.name = "edge";
  graph.edges = {{.name = "x", .shape = Shape{3}},
                 {.name = "q", .shape = Shape{3}, .quantised = true, .quant = {.step = 1}},
                 {.name = "y", .shape = Shape{2}}};
  graph.input = 0, graph.output = 2;
  node.inputs = {1}, node.output = 2, node.precision = Precision::int8;
  node.weight_step = {1.0f, 1.0f};
  for (const std::int32_t sign : {1, -1}) {
    const std::int32_t most = std::numeric_limits<std::int32_t>::max() - 255 * 127;
    node.bias_q = {sign * most, 0};
    graph.nodes = {{.name = "quantise", .op = Op::quantise, .inputs = {0}, .output = 1}, node};
    CHECK_NOTHROW(graph.validate());
    graph.nodes[1].bias_q[0] = sign * (most + 1);
    CHECK_THROWS_AS(graph.validate(), Error);
  }
}

TEST_CASE("rule 6: clamping the multiplier to [2^-100, 512] changes no integer") {
  CHECK(clamp_multiplier(1e-40) == kMinMultiplier);
  CHECK(clamp_multiplier(0.0) == kMinMultiplier);
  CHECK(clamp_multiplier(1e30) == kMaxMultiplier);
  CHECK(clamp_multiplier(1e300) == kMaxMultiplier);
  CHECK(clamp_multiplier(0.1) == 0.1f);
  CHECK(multiplier(0.5f, 0.25f, 2.0f) == 0.0625f);
  CHECK(multiplier(1e-20f, 1e-20f, 1e20f) == kMinMultiplier);
  std::mt19937_64 random(7);
  for (int i = 0; i < 20000; ++i) {
    const double m =
        std::ldexp(1.0 + static_cast<double>(random() >> 12) * 0x1p-52, static_cast<int>(random() % 240) - 120);
    for (const std::int32_t acc :
         {0, 1, -1, 2, 255, -255, 1 << 20, std::numeric_limits<std::int32_t>::max(), -2147483647}) {
      const double exact = static_cast<double>(static_cast<float>(acc)) * static_cast<double>(static_cast<float>(m));
      const auto wanted = bounded(static_cast<double>(static_cast<float>(exact)), -255, 255);
      REQUIRE(requantise(acc, clamp_multiplier(m), -255, 255, 0) == wanted);
    }
  }
  // Rule 13 has nothing behind it that saturates: no clamp there.
  CHECK(real_multiplier(100.0f, 10.0f) == 1000.0f);
  CHECK(real_multiplier(1e-20f, 1e-15f) ==
        static_cast<float>(static_cast<double>(1e-20f) * static_cast<double>(1e-15f)));
  CHECK(0.0f * real_multiplier(1e30f, 1e30f) == 0.0f);
}

TEST_CASE("rule 7: requantise equals exact arithmetic on whole ranges of accumulators") {
  struct Setting {
    float m;
    std::int32_t lo, hi, zero;
  };
  const Setting settings[] = {{0.5f, -127, 127, 0},        {0.25f, -127, 127, 0},   {0.125f, 0, 255, 128},
                              {0.00390625f, -127, 127, 0}, {0.01f, -127, 127, 0},   {1.5f, 0, 127, 63},
                              {0.3333333f, 3, 200, 3},     {0.0015f, -128, 127, 0}, {512.0f, -127, 127, 0},
                              {0.75f, 0, 255, 255},        {0.1f, 0, 0, 0}};
  for (const Setting& s : settings) {
    const auto wanted = [&](std::int64_t acc) {
      return bounded(static_cast<double>(product(static_cast<float>(acc), s.m)), s.lo - s.zero, s.hi - s.zero) + s.zero;
    };
    for (std::int32_t acc = -100000; acc <= 100000; ++acc)
      REQUIRE(requantise(acc, s.m, s.lo, s.hi, s.zero) == wanted(acc));
    for (std::int64_t acc = std::numeric_limits<std::int32_t>::max(); acc > 2147483647 - 1000; --acc) {
      REQUIRE(requantise(static_cast<std::int32_t>(acc), s.m, s.lo, s.hi, s.zero) == wanted(acc));
      REQUIRE(requantise(static_cast<std::int32_t>(-acc), s.m, s.lo, s.hi, s.zero) == wanted(-acc));
    }
  }
  // By hand: 33 * 0.5 = 16.5 -> 16, 35 * 0.5 = 17.5 -> 18; the zero point is added after that.
  CHECK(requantise(33, 0.5f, -127, 127, 0) == 16);
  CHECK(requantise(35, 0.5f, -127, 127, 0) == 18);
  CHECK(requantise(-33, 0.5f, -127, 127, 0) == -16);
  CHECK(requantise(33, 0.5f, 0, 255, 3) == 19);
  CHECK(requantise(253, 0.5f, -127, 127, 0) == 126);         // 126.5
  CHECK(requantise(255, 0.5f, -127, 127, 0) == 127);         // 127.5 is clamped first
  CHECK(requantise(16777217, 0x1p-24f, -127, 127, 0) == 1);  // the accumulator itself rounds to float
}

TEST_CASE("the notebook's requantisation multiplies, then divides, in float32") {
  std::mt19937_64 random(8);
  std::int64_t differs = 0, count = 0;
  for (int setting = 0; setting < 200; ++setting) {
    const auto unit = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
    const auto amax_in = static_cast<float>(1 + 50 * unit()), amax_w = static_cast<float>(0.1 + unit()),
               amax_out = static_cast<float>(1 + 80 * unit());
    const float s_out = 127.0f / amax_out, s_in_w = (127.0f / amax_in) * (127.0f / amax_w);
    const float m = multiplier(symmetric_step(amax_in), symmetric_step(amax_w), symmetric_step(amax_out));
    // All accumulators that do not saturate, up to the network's largest one (facts: 15,645,639).
    const auto most = static_cast<std::int32_t>(std::min(15645639.0, 128.0 / static_cast<double>(m)));
    for (std::int32_t acc = -most; acc <= most; acc += 1 + most / 10000) {
      const float scaled = product(static_cast<float>(acc), s_out);
      // A quotient of floats: double division rounded to float is the correctly rounded one (53 >= 2 * 24 + 2).
      const auto quotient = static_cast<float>(static_cast<double>(scaled) / static_cast<double>(s_in_w));
      const auto wanted = bounded(static_cast<double>(quotient), -127, 127);
      REQUIRE(requantise_notebook(acc, s_out, s_in_w, -127, 127) == wanted);
      const std::int32_t one = requantise(acc, m, -127, 127, 0);
      REQUIRE(std::abs(one - wanted) <= 1);
      differs += one != wanted, ++count;
    }
  }
  MESSAGE("the one-multiply form differs for ", differs, " of ", count, " accumulators that do not saturate");
}

TEST_CASE("rule 8: ReLU and ReLU6 are limits") {
  CHECK(relu_lo({.zero = 0, .lo = -127, .hi = 127}) == 0);
  CHECK(relu_lo({.zero = 7, .lo = 0, .hi = 255}) == 7);
  CHECK(relu_lo({.zero = 0, .lo = 0, .hi = 255}) == 0);
  CHECK(relu6_hi({.step = 0.1f, .zero = 0, .lo = -127, .hi = 127}) == 60);
  CHECK(relu6_hi({.step = 0.01f, .zero = 0, .lo = -127, .hi = 127}) == 127);
  CHECK(relu6_hi({.step = 0.05f, .zero = 100, .lo = 0, .hi = 255}) == 220);
  CHECK(relu6_hi({.step = 4.0f, .zero = 3, .lo = 0, .hi = 255}) == 5);  // 1.5 -> 2
  CHECK(relu6_hi({.step = 2.4f, .zero = 3, .lo = 0, .hi = 255}) == 5);  // 2.5 -> 2, before the zero point
  CHECK(relu6_hi({.step = 100.0f, .zero = 3, .lo = 0, .hi = 255}) == 3);
  CHECK(relu6_hi({.step = 1e-30f, .zero = 3, .lo = 0, .hi = 255}) == 255);
}

TEST_CASE("rules 9 and 10: averages and copies are one multiplication") {
  CHECK(average_multiplier(1.0f, 1.0f, 4) == 0.25f);
  CHECK(average_multiplier(0.3f, 0.7f, 9) ==
        static_cast<float>(static_cast<double>(0.3f) / (static_cast<double>(0.7f) * 9)));
  CHECK(copy_multiplier(0.3f, 0.7f) == static_cast<float>(static_cast<double>(0.3f) / static_cast<double>(0.7f)));
  // Equal steps: every sum of n equal values comes back as that value.
  for (int n = 1; n <= 200; ++n) {
    const float m = average_multiplier(0.37f, 0.37f, n);
    for (int q = -127; q <= 127; ++q) REQUIRE(requantise(q * n, m, -127, 127, 0) == q);
  }
}

TEST_CASE("rule 11: an add's multipliers have 16 bits, so that fused and separate rounding agree") {
  std::mt19937_64 random(9);
  for (int i = 0; i < 5000; ++i) {
    const auto step = [&] {
      return static_cast<float>(
          std::ldexp(1.0 + static_cast<double>(random() >> 12) * 0x1p-52, static_cast<int>(random() % 30) - 15));
    };
    const float in = step(), out = step(), other = step();
    const float m = add_multiplier(in, out);
    REQUIRE((std::bit_cast<std::uint32_t>(m) & 0xFFu) == 0);  // 23 - 15 mantissa bits are zero
    const double ratio = static_cast<double>(in) / static_cast<double>(out);
    REQUIRE(std::fabs(static_cast<double>(m) - ratio) <= ratio * 0x1p-16);
    const float m2 = add_multiplier(other, out);
    for (int q = -255; q <= 255; ++q) {
      const float p = static_cast<float>(q) * m;
      REQUIRE(static_cast<double>(p) == static_cast<double>(q) * static_cast<double>(m));  // exact
      const float first = static_cast<float>(255 - q) * m2;
      const float separate = first + opaque(p);
      REQUIRE(std::fma(static_cast<float>(q), m, first) == separate);
    }
  }
  // Absurd ratios stay finite: 0 * M is 0, never NaN.
  CHECK(std::isfinite(add_multiplier(1e38f, 1e-38f)));
  CHECK(std::isnormal(add_multiplier(1e-38f, 1e38f)));
}

TEST_CASE("half precision: every bit pattern there and back") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const int exponent = (half >> 10) & 31, mantissa = half & 1023;
    const float value = half_to_float(half);
    if (exponent == 31 && mantissa != 0) {
      REQUIRE(std::isnan(value));
      REQUIRE((float_to_half(value) & 0x7C00) == 0x7C00);
      REQUIRE((float_to_half(value) & 0x03FF) != 0);
      continue;
    }
    double wanted = exponent == 31  ? std::numeric_limits<double>::infinity()
                    : exponent == 0 ? std::ldexp(mantissa, -24)
                                    : std::ldexp(1024 + mantissa, exponent - 25);
    if ((half & 0x8000) != 0) wanted = -wanted;
    REQUIRE(static_cast<double>(value) == wanted);
    REQUIRE(std::signbit(value) == ((half & 0x8000) != 0));
    REQUIRE(float_to_half(value) == half);
    // Between this one and the next: nearest, and the tie goes to the even mantissa.
    if (exponent == 31 || (half & 0x7FFF) == 0x7BFF) continue;
    const float next = half_to_float(static_cast<std::uint16_t>(half + 1));
    const float middle = value + (next - value) / 2;
    REQUIRE(float_to_half(middle) == (half % 2 == 0 ? half : half + 1));
    REQUIRE(float_to_half(std::nextafter(middle, value)) == half);
    REQUIRE(float_to_half(std::nextafter(middle, next)) == half + 1);
  }
  CHECK(float_to_half(65519.996f) == 0x7BFF);
  CHECK(float_to_half(65520.0f) == 0x7C00);
  CHECK(float_to_half(-1e30f) == 0xFC00);
  CHECK(float_to_half(1e-30f) == 0);
}

// --- rule 14: the compiler and the machine keep the arithmetic as written

TEST_CASE("the canary: nothing fuses a multiplication with what follows it") {
  // x * inverse + 1.5 * 2^23, fused, rounds once where the contract rounds twice. quantise() has its clamp in between,
  // so that no compiler can fuse them; these values would show it if the clamp ever moved.
  int sensitive = 0;
  std::mt19937_64 random(10);
  for (int i = 0; i < 2000000 && sensitive < 50; ++i) {
    const auto unit = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
    const auto inverse = static_cast<float>(unit() * 20 + 0.01);
    const auto x = static_cast<float>((static_cast<double>(random() % 126) + 0.5) / static_cast<double>(inverse));
    const float rounded = product(x, inverse);
    const auto fused = static_cast<std::int64_t>(std::fma(x, inverse, 12582912.0f)) - 12582912;
    if (rounded > 127 || fused == rne(static_cast<double>(rounded))) continue;
    ++sensitive;
    CHECK(quantise(opaque(x), opaque(inverse), -127, 127, 0) == rne(static_cast<double>(rounded)));
  }
  CHECK(sensitive == 50);
  // The affine form x * scale + shift, as batch-norm by itself and float layers use it.
  for (int i = 0; i < 1000; ++i) {
    const float x = 1.0f + static_cast<float>(i + 1) * 0x1p-23f;
    const float square = product(x, x), shift = -square;
    const float separate = opaque(x) * opaque(x) + opaque(shift);
    CHECK(separate == 0.0f);  // fl(x * x) - fl(x * x)
  }
  int fused_differs = 0;
  for (int i = 0; i < 1000; ++i) {
    const float x = 1.0f + static_cast<float>(i + 1) * 0x1p-23f;
    fused_differs += std::fma(x, x, -product(x, x)) != 0.0f;
  }
  CHECK(fused_differs > 900);  // so the loop above would have seen contraction
}

#if defined(__x86_64__)
TEST_CASE("FloatEnvironment sets the contract's mode and puts the host's back") {
  const unsigned original = _mm_getcsr();
  for (const unsigned mode : {0x8040u, 0x2000u, 0x4000u, 0x6000u}) {
    _mm_setcsr(original | mode);
    unsigned inside = 0;
    std::int32_t tie = 0;
    float subnormal = 0;
    {
      const FloatEnvironment environment;
      inside = _mm_getcsr();
      tie = round_even(opaque(2.5f));
      subnormal = opaque(0x1p-126f) * opaque(0.5f);
    }
    const unsigned outside = _mm_getcsr();
    _mm_setcsr(original);
    CHECK((inside & 0xE040u) == 0);
    CHECK((outside & 0xFFC0u) == ((original | mode) & 0xFFC0u));
    CHECK(tie == 2);
    CHECK(subnormal == 0x1p-127f);
  }
}
#endif

TEST_CASE("passes over all weights: what their vector loops say is what one at a time says") {
  std::mt19937 random(5);
  for (const std::size_t size : {0u, 1u, 7u, 64u, 1000u, 70'000u, 140'001u}) {
    CAPTURE(size);
    std::vector<float> reals(size);
    for (float& v : reals) v = (static_cast<float>(random() % 20001) - 10000.0f) * 3e-4f;
    std::vector<std::int8_t> integers(size), expected(size);
    quantise_weights(reals, 43.3f, integers);
    float amax = 0;
    std::int64_t plain = 0, absolute = 0;
    for (std::size_t i = 0; i < size; ++i) {
      expected[i] = static_cast<std::int8_t>(arithmetic::quantise(reals[i], 43.3f, -127, 127, 0));
      plain += expected[i], absolute += std::abs(expected[i]), amax = std::max(amax, std::fabs(reals[i]));
    }
    CHECK(integers == expected);
    CHECK(sums_of(integers).plain == plain);
    CHECK(sums_of(integers).absolute == absolute);
    CHECK(amax_of(reals) == amax);
    CHECK(all_finite(reals));
    CHECK_FALSE(contains(integers, -128));
    if (size == 0) continue;
    integers.back() = -128, reals.back() = -std::numeric_limits<float>::infinity();
    CHECK(contains(integers, -128));
    CHECK_FALSE(all_finite(reals));
    reals.back() = std::numeric_limits<float>::quiet_NaN();
    CHECK_FALSE(all_finite(reals));
  }
  const std::vector<std::int8_t> all(200'000, -127);
  CHECK(sums_of(all).plain == -200'000 * 127);
  CHECK(sums_of(all).absolute == 200'000 * 127);
}
