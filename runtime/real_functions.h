// exp, sigmoid, atan2, sine and cosine for what stands behind a network's last integer (rule 13): the same bits on
// every device. Libraries differ in their last bits, so these are written out: additions, multiplications, one
// division, in double, none fused (rule 14), then one rounding to float. Plain, for host and device.
//
// Every series is cut where its next term is below 2^-56 of its first; the results are within 1 unit of a double's 52nd
// bit times a handful of roundings, so that the float is the correctly rounded one but for about one value in 10^8.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define OCTET_REAL_HD __host__ __device__ static inline
#else
#define OCTET_REAL_HD [[maybe_unused]] static inline
#endif

namespace octet::real {

constexpr double kPi = 3.141592653589793;  // the double nearest to pi

// Nearest integer of |x| < 2^51: 1.5 * 2^52 + x has a unit of 1 in its last place.
OCTET_REAL_HD double nearest(double x) { return (x + 6755399441055744.0) - 6755399441055744.0; }

// 2^k for -1022 <= k <= 1023.
OCTET_REAL_HD double power_of_two(int k) {
  union {
    std::uint64_t bits;
    double value;
  } power = {static_cast<std::uint64_t>(k + 1023) << 52};
  return power.value;
}

// e^x for |x| <= 700 (clamped to that; a NaN stays one): x = k ln 2 + r, |r| <= 0.347, and a Taylor series for e^r. ln
// 2 is split so that k * high is exact.
OCTET_REAL_HD double exp(double x) {
  constexpr double kInverseLn2 = 1.4426950408889634, kHigh = 0.69314718036912382, kLow = 1.9082149292705877e-10;
  x = x > 700.0 ? 700.0 : x < -700.0 ? -700.0 : x;
  if (!(x == x)) return x;
  const double k = nearest(x * kInverseLn2);
  const double r = (x - k * kHigh) - k * kLow;
  double sum = 1.0;
  for (int n = 14; n >= 1; --n) sum = 1.0 + sum * r / n;
  return sum * power_of_two(static_cast<int>(k));
}

// Rounded once from the double; what is below the smallest normal float is 0, what is above the largest infinite.
OCTET_REAL_HD float exp(float x) {
  const double value = exp(static_cast<double>(x));
  // Where float has no normal number left the result says so itself: what flushes or keeps subnormals cannot matter.
  if (value < 0x1p-126) return 0.0f;
  if (value > 3.4028234e38) return 0x1p127f * 2.0f;
  return static_cast<float>(value);
}

// 1 / (1 + e^-x), from the side on which nothing cancels.
OCTET_REAL_HD float sigmoid(float x) {
  const double e = exp(x < 0 ? static_cast<double>(x) : -static_cast<double>(x));
  return static_cast<float>((x < 0 ? e : 1.0) / (1.0 + e));
}

// arctan of t in [0, 1]: beyond tan(pi / 8), arctan t = pi / 4 + arctan((t - 1) / (t + 1)); the series is alternating
// in powers of at most 0.1716.
OCTET_REAL_HD double arctangent(double t) {
  const bool upper = t > 0.41421356237309503;
  if (upper) t = (t - 1.0) / (t + 1.0);
  const double square = t * t;
  double sum = 0.0;
  for (int n = 22; n >= 0; --n) sum = 1.0 / (2 * n + 1) - square * sum;
  return (upper ? kPi / 4 : 0.0) + t * sum;
}

// The angle of (x, y), in (-pi, pi]; 0 of (0, 0). Signs of zeros do not count.
OCTET_REAL_HD float atan2(float y, float x) {
  const double ay = y < 0 ? -static_cast<double>(y) : static_cast<double>(y);
  const double ax = x < 0 ? -static_cast<double>(x) : static_cast<double>(x);
  if (ax == 0 && ay == 0) return 0.0f;
  const bool steep = ay > ax;
  double angle = arctangent(steep ? ax / ay : ay / ax);
  if (steep) angle = kPi / 2 - angle;
  if (x < 0) angle = kPi - angle;
  return static_cast<float>(y < 0 ? -angle : angle);
}

struct SineCosine {  // of one angle
  double sine, cosine;
};

// Of |x| <= 10^5 or so: x = k pi / 2 + r, |r| <= 0.786, and the two Taylor series.
OCTET_REAL_HD SineCosine sine_cosine(double x) {
  constexpr double kHigh = 1.5707963267341256, kLow = 6.0771005065061922e-11;  // of pi / 2; k * kHigh is exact
  const double k = nearest(x * 0.6366197723675814);
  const double r = (x - k * kHigh) - k * kLow, square = r * r;
  double sine = 1.0, cosine = 1.0;
  for (int n = 18; n >= 2; n -= 2) {
    sine = 1.0 - sine * square / (n * (n + 1));
    cosine = 1.0 - cosine * square / (n * (n - 1));
  }
  sine = sine * r;
  const int quadrant = static_cast<int>(static_cast<std::int64_t>(k) & 3);
  const double s = quadrant % 2 == 0 ? sine : cosine, c = quadrant % 2 == 0 ? cosine : sine;
  return {quadrant >= 2 ? -s : s, quadrant == 1 || quadrant == 2 ? -c : c};
}

}  // namespace octet::real
