// The arithmetic contract: the one definition of quantise, requantise and the constants they use. The reference, every
// CPU instruction set and CUDA call these functions or repeat them instruction by instruction, so all give the same
// bytes. calib/QUANTIZATION.md derives each rule; "rule N" below is its section N.
//
// Surprising parts:
//  - Every function is `static inline` on purpose. Files of different instruction sets include this header; one shared
//    (COMDAT) copy would let the linker put AVX512 code into the baseline.
//  - Rounding is to nearest even by adding and subtracting 1.5 * 2^23. That needs the default rounding mode
//    (runtime/float_environment.h sets it for the time of a run) and a compiler that keeps float expressions as
//    written: -ffp-contract=off, --fmad=false, never fast-math (rule 14).
#pragma once

#include <cstdint>

#include "runtime/quant_params.h"

#if defined(__CUDACC__)
#define OCTET_HD __host__ __device__ static inline
#else
#define OCTET_HD [[maybe_unused]] static inline
#endif

namespace octet::arithmetic {

// An edge whose largest magnitude is at most this is dead (rule 3). The field's fake-quantiser uses the same bound.
constexpr float kDeadRange = 1.0f / 16777216.0f;  // 2^-24
// Rule 3: a bias may use this many integer steps, so that bias + products stay within int32.
constexpr double kBiasSteps = 536870912.0;  // 2^29
// Rule 6: outside of these no result can change, and inside no multiplier is subnormal.
constexpr float kMinMultiplier = 0x1p-100f;
constexpr float kMaxMultiplier = 512.0f;

// --- rounding
// ---------------------------------------------------------------------------------------------------------

// Nearest integer, halves to even, of |x| <= 2^22: 1.5 * 2^23 + x has a unit in the last place of exactly 1, so the
// addition rounds, and the integer can be read off the low mantissa bits.
OCTET_HD std::int32_t round_even(float x) {
  const float shifted = x + 12582912.0f;
  union {
    float f;
    std::int32_t i;
  } bits = {shifted};
  return bits.i - 0x4B400000;
}

// min(max(x, lo), hi) with the operand order of maxps / minps: a NaN x gives lo.
OCTET_HD float clamp(float x, float lo, float hi) {
  const float raised = x > lo ? x : lo;
  return raised < hi ? raised : hi;
}

// For real layers: as clamp(), but a NaN stays one, so that it is found at the next quantiser instead of vanishing.
OCTET_HD float clamp_real(float x, float lo, float hi) {
  const float raised = x < lo ? lo : x;
  return raised > hi ? hi : raised;
}

// A positive normal double rounded to `bits` significant bits, nearest even; for bits <= 24 it is exact as float. The
// dropped mantissa bits are rounded off as an integer; a carry into the exponent is the right result.
OCTET_HD double round_significant(double x, int bits) {
  union {
    double f;
    std::uint64_t i;
  } value = {x};
  const int drop = 53 - bits;
  const std::uint64_t half = std::uint64_t{1} << (drop - 1);
  const std::uint64_t odd = (value.i >> drop) & 1;
  value.i = (value.i + half - 1 + odd) >> drop << drop;
  return value.f;
}

// --- rule 1: steps
// ----------------------------------------------------------------------------------------------------

// The step of a symmetric range of `levels` positive integers (127 for 8 bits). A dead range has step 1 (rule 3).
OCTET_HD float symmetric_step(float amax, std::int32_t levels = 127) {
  if (!(amax > kDeadRange)) return 1.0f;
  return static_cast<float>(static_cast<double>(amax) / levels);
}

// What rule 2 multiplies by.
OCTET_HD float inverse_step(float step) { return static_cast<float>(1.0 / static_cast<double>(step)); }

// --- rule 2: real -> integer
// ------------------------------------------------------------------------------------------

// x must not be NaN; the kernels report a NaN before they come here. `inverse` is inverse_step(params.step).
OCTET_HD std::int32_t quantise(float x, float inverse, std::int32_t lo, std::int32_t hi, std::int32_t zero) {
  const float scaled = clamp(x * inverse, static_cast<float>(lo - zero), static_cast<float>(hi - zero));
  return round_even(scaled) + zero;
}
OCTET_HD std::int32_t quantise(float x, const QuantParams& to) {
  if (to.dead) return to.zero;
  return quantise(x, inverse_step(to.step), to.lo, to.hi, to.zero);
}

// Rule 1, backwards: real units.
OCTET_HD float dequantise(std::int32_t q, float step, std::int32_t zero) { return step * static_cast<float>(q - zero); }

// --- rules 3, 4, 5: weights and biases
// --------------------------------------------------------------------------------

// The step of one output channel's weights: wide enough for its largest weight and for its bias.
OCTET_HD float weight_step(float amax_weight, float bias, float step_in) {
  const double by_weight = static_cast<double>(amax_weight) / 127.0;
  const double magnitude = bias < 0 ? -static_cast<double>(bias) : static_cast<double>(bias);
  const double by_bias = magnitude / (static_cast<double>(step_in) * kBiasSteps);
  const double step = by_weight > by_bias ? by_weight : by_bias;
  const float rounded = static_cast<float>(step);
  return rounded >= 0x1p-126f ? rounded : 1.0f;  // both 0, or too small for a normal float: no weight survives
}

// bias in units of step_in * step_weight, nearest even. The value is far below 2^51 (rule 3 keeps it near 2^29), where
// adding 1.5 * 2^52 rounds.
OCTET_HD std::int64_t quantise_bias(float bias, float step_in, float step_weight) {
  const double scaled = static_cast<double>(bias) / (static_cast<double>(step_in) * step_weight);
  const double shifted = scaled + 6755399441055744.0;
  return static_cast<std::int64_t>(shifted - 6755399441055744.0);
}

// --- rules 6, 7: integer accumulator -> integer
// -----------------------------------------------------------------------

// Rule 6: no result changes, and every product is a normal float or 0.
OCTET_HD float clamp_multiplier(double m) {
  const float rounded = static_cast<float>(m);
  return clamp(rounded, kMinMultiplier, kMaxMultiplier);
}

// Rule 6: output steps an accumulator unit.
OCTET_HD float multiplier(float step_in, float step_weight, float step_out) {
  return clamp_multiplier(static_cast<double>(step_in) * step_weight / step_out);
}

// Rule 13: nothing saturates behind it, so rule 6's clamp would change results. Finite and normal, so that 0 * m is 0.
OCTET_HD float real_multiplier(float step_in, float step_weight) {
  return clamp(static_cast<float>(static_cast<double>(step_in) * step_weight), 0x1p-126f, 0x1p127f);
}

// `lo` and `hi` are the layer's own limits after ReLU (rule 8).
OCTET_HD std::int32_t requantise(std::int32_t accumulator, float m, std::int32_t lo, std::int32_t hi,
                                 std::int32_t zero) {
  const float product = static_cast<float>(accumulator) * m;
  return round_even(clamp(product, static_cast<float>(lo - zero), static_cast<float>(hi - zero))) + zero;
}

// The notebook's requantisation, in its order of operations: (acc * s_out) / (s_in * s_w), scales being 127 / amax.
// May differ by one step from requantise() near a tie; `--preset notebook` only.
OCTET_HD std::int32_t requantise_notebook(std::int32_t accumulator, float scale_out, float scale_in_weight,
                                          std::int32_t lo, std::int32_t hi) {
  const float quotient = static_cast<float>(accumulator) * scale_out / scale_in_weight;
  return round_even(clamp(quotient, static_cast<float>(lo), static_cast<float>(hi)));
}

// --- rule 8: activation limits
// ----------------------------------------------------------------------------------------

// The lower limit behind a ReLU: the integer of 0.
OCTET_HD std::int32_t relu_lo(const QuantParams& out) { return out.lo > out.zero ? out.lo : out.zero; }

// The upper limit behind a ReLU6: the integer of 6, by rule 2.
OCTET_HD std::int32_t relu6_hi(const QuantParams& out) {
  const float six = 6.0f * inverse_step(out.step);
  const std::int32_t top = six < 1024.0f ? out.zero + round_even(six) : out.hi;
  return top < out.hi ? top : out.hi;
}

// --- rules 9, 10, 11: pools, copies, adds
// -----------------------------------------------------------------------------

// Rule 9, for a window of `count` values.
OCTET_HD float average_multiplier(float step_in, float step_out, std::int32_t count) {
  return clamp_multiplier(static_cast<double>(step_in) / (static_cast<double>(step_out) * count));
}

// Rule 10.
OCTET_HD float copy_multiplier(float step_in, float step_out) {
  return clamp_multiplier(static_cast<double>(step_in) / step_out);
}

// 16 significant bits: |q - zero| has at most 8, so the product is exact in a float's 24 and fused multiply-add cannot
// differ from multiply, then add. Between 2^-100 and 2^100, where the product is finite and normal: beyond, one operand
// drowns or is drowned entirely.
OCTET_HD float add_multiplier(float step_in, float step_out) {
  const double m = round_significant(static_cast<double>(step_in) / step_out, 16);
  return static_cast<float>(m < 0x1p-100 ? 0x1p-100 : m > 0x1p100 ? 0x1p100 : m);
}

}  // namespace octet::arithmetic
