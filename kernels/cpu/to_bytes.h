// Reals that are whole steps away from the zero point -> bytes: the end of rules 2, 7, 9 and 11, a vector of bytes at a
// time. The rules clamp, round, then add the zero point. Here only the upper limit is applied before rounding; a value
// far below becomes the smallest integer, which the saturating packs keep small, and the lower limit is applied to
// bytes. The result is the same, since rounding keeps the order and the limits are integers.
#pragma once

#include "runtime/view.h"

namespace octet::kernels {

template <class L, class T>
struct ToBytes {
  typename L::Float hi;
  typename L::Int zero;
  typename L::Bytes lo;

  static ToBytes of(std::int32_t lo, std::int32_t hi, std::int32_t zero) {
    return {L::set(static_cast<float>(hi - zero)), L::set_words(zero), L::set_bytes(lo)};
  }
  __attribute__((always_inline)) typename L::Bytes operator()(const typename L::Float (&values)[4]) const {
    typename L::Int rounded[4];
    for (int i = 0; i < 4; ++i) rounded[i] = L::round(L::min(values[i], hi));
    return L::larger(L::template narrow<T>(rounded, zero), lo, T());
  }
};

}  // namespace octet::kernels
