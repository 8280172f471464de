// Element types. Plain: no standard-library code, so kernels of any instruction set and .cu files may include it.
#pragma once

#include <cstdint>

namespace octet {

// `u8` holds affine activations (zero point 0..255) and photos, `s8` symmetric activations and weights, `s16` the wide
// input of a sparse network (QuantParams::kWide), `s32` biases and accumulators. `f16` is IEEE half precision; the CPU
// stores it only (files, weights), it does not compute in it.
enum class DType : std::uint8_t { f32, f16, s8, u8, s32, s64, f64, s16 };

constexpr int size_of(DType type) {  // bytes of one element
  switch (type) {
    case DType::s8:
    case DType::u8:
      return 1;
    case DType::f16:
    case DType::s16:
      return 2;
    case DType::f32:
    case DType::s32:
      return 4;
    case DType::s64:
    case DType::f64:
      return 8;
  }
  return 0;
}

constexpr const char* name_of(DType type) {  // "f32", ...
  switch (type) {
    case DType::f32:
      return "f32";
    case DType::f16:
      return "f16";
    case DType::s8:
      return "s8";
    case DType::u8:
      return "u8";
    case DType::s32:
      return "s32";
    case DType::s64:
      return "s64";
    case DType::f64:
      return "f64";
    case DType::s16:
      return "s16";
  }
  return "?";
}

// From the C++ type of an element to its DType.
template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<std::int8_t> {
  static constexpr DType value = DType::s8;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<std::int16_t> {
  static constexpr DType value = DType::s16;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::s32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::s64;
};

}  // namespace octet
