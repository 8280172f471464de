// How real numbers and 8-bit integers correspond on one edge of a network (calib/QUANTIZATION.md, rule 1):
//     real = step * (q - zero),   lo <= q <= hi.
// Plain: kernels and .cu files include it.
#pragma once

#include "runtime/dtype.h"

namespace octet {

struct QuantParams {  // of one edge
  // Raw point features (metres beside intensities) lose too much in 8 bits, so the input of a sparse network's first
  // convolutions is "wide": 15 bits and a sign, q within +-16256 = +-127 * 128, zero point 0. Two s8 planes hold it,
  //     q = 128 * high + low,   high = (q + 64) >> 7 in [-127, 127],   low = q - 128 * high in [-64, 63],
  // so that 8-bit products give the sum exactly: acc = 128 * acc_high + acc_low. Where 16-bit products are as cheap (on
  // CPUs) it is stored and multiplied as s16: the same integers.
  static constexpr std::int32_t kWide = 127 * 128;

  float step = 1.0f;       // real units per integer step; normal and > 0
  std::int32_t zero = 0;   // the integer that stands for 0.0
  std::int32_t lo = -127;  // symmetric [-127, 127]; affine [0, 255] or, with reduce_range, [0, 127];
  std::int32_t hi = 127;   // an imported signed edge may hold -128
  bool dead = false;       // the observed range was 0 (rule 3): step is 1 and every q is `zero`

  // 16 bits when wide; else unsigned storage exactly when no value is negative and some may exceed 127, or the range is
  // affine from 0.
  constexpr DType storage() const { return wide() ? DType::s16 : lo >= 0 ? DType::u8 : DType::s8; }
  constexpr bool wide() const { return lo == -kWide && hi == kWide; }
  constexpr bool operator==(const QuantParams&) const = default;
};

}  // namespace octet
