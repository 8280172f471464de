// Fake quantisation: a float tensor rounded to the values that `num_bits` integers can express, kept as floats. It is
// what training-time and simulation tools compute; the integer kernels follow the contract (runtime/arithmetic.h)
// instead, whose step form differs from this scale form in a last bit now and then.
//
//     max_bound = 2^(num_bits - 1 + unsigned) - 1
//     min_bound = 0 if unsigned, else -max_bound, or -max_bound - 1 without narrow_range
//     scale = max_bound / amax                        (float32)
//     q = clamp(rne(x * scale), min_bound, max_bound)
//     result = q / scale                              (a float32 division)
//
// Where amax <= 2^-24 every q is 0 and the scale handed back is 1, so that no result is infinite or NaN.
#pragma once

#include "runtime/tensor.h"

namespace octet::calib {

// Which integers there are.
struct FakeQuant {
  int num_bits = 8;  // 2 to 16
  bool is_unsigned = false;
  bool narrow_range = true;  // signed: the lowest integer is -max_bound

  float max_bound() const { return static_cast<float>((1 << (num_bits - 1 + (is_unsigned ? 1 : 0))) - 1); }
  float min_bound() const { return is_unsigned ? 0.0f : narrow_range ? -max_bound() : -max_bound() - 1.0f; }
};

struct IntegersAndScale {  // real = integers / scale
  Tensor integers;         // f32 holding whole numbers, the input's shape
  Tensor scale;            // f32, amax's shape
};

// `amax` is one element or broadcasts over the input as arrays do (per channel of a [O, I, kh, kw] weight: [O, 1, 1,
// 1]). f32 or f16 both. Throws Error for a negative or NaN amax, for an input below 0 under `is_unsigned`, for shapes
// that do not broadcast and for num_bits outside of 2..16. A NaN input stays NaN.
IntegersAndScale tensor_quant(const Tensor& input, const Tensor& amax, const FakeQuant& how = {});

// The same, divided back. An f16 input is computed in f32 and comes back as f16.
Tensor fake_tensor_quant(const Tensor& input, const Tensor& amax, const FakeQuant& how = {});

// One value; `scale` is max_bound / amax. For the rules that simulate quantisation (amax.h).
float fake_quant_value(float x, float scale, const FakeQuant& how);

}  // namespace octet::calib
