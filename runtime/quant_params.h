// How real numbers and 8-bit integers correspond on one edge of a network (calib/QUANTIZATION.md, rule 1):
//     real = step * (q - zero),   lo <= q <= hi.
// Plain: kernels and .cu files include it.
#pragma once

#include "runtime/dtype.h"

namespace octet {

struct QuantParams {
  float step = 1.0f;       // real units per integer step; normal and > 0
  std::int32_t zero = 0;   // the integer that stands for 0.0
  std::int32_t lo = -127;  // symmetric [-127, 127]; affine [0, 255] or, with reduce_range, [0, 127];
  std::int32_t hi = 127;   // an imported signed edge may hold -128
  bool dead = false;       // the observed range was 0 (rule 3): step is 1 and every q is `zero`

  // Unsigned storage exactly when no value is negative and some may exceed 127, or the range is affine from 0.
  constexpr DType storage() const { return lo >= 0 ? DType::u8 : DType::s8; }
  constexpr bool operator==(const QuantParams&) const = default;
};

}  // namespace octet
