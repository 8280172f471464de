#include "runtime/tensor.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <new>

#include <sys/mman.h>

#include "runtime/error.h"

namespace octet {
namespace {

// From here on memory is asked for in large pages (2 MB on x86-64): a network's weights are read from one end to the
// other in every run, and in pages of 4 KB each of them costs a walk through the page tables.
constexpr std::size_t kManyBytes = std::size_t{4} << 20, kLargePage = std::size_t{2} << 20;

}  // namespace

Tensor::Tensor(DType type, Shape shape) : dtype_(type), shape_(shape) {
  const std::size_t size = static_cast<std::size_t>(shape.elements()) * size_of(type);
  const std::size_t rounded = (size + kAlignment - 1) / kAlignment * kAlignment + (size == 0 ? kAlignment : 0);
  const std::align_val_t alignment{rounded >= kManyBytes ? kLargePage : kAlignment};
  void* memory = ::operator new(rounded, alignment, std::nothrow);
  require(memory != nullptr, "out of memory: a {} tensor of {} needs {} bytes", name_of(type), shape.str(), size);
#if defined(MADV_HUGEPAGE)
  if (rounded >= kManyBytes) ::madvise(memory, rounded / kLargePage * kLargePage, MADV_HUGEPAGE);  // a hint
#endif
  std::memset(memory, 0, rounded);
  owner_ = std::shared_ptr<void>(memory, [alignment](void* p) { ::operator delete(p, alignment); });
  data_ = static_cast<std::byte*>(memory);
}

Tensor::Tensor(DType type, Shape shape, void* data, std::shared_ptr<const void> keep)
    : dtype_(type), shape_(shape), data_(static_cast<std::byte*>(data)), view_(true), owner_(std::move(keep)) {}

void Tensor::check_type(DType wanted) const {
  require(dtype_ == wanted, "a {} tensor was read as {}", name_of(dtype_), name_of(wanted));
}

void Tensor::copy_from(const void* source, std::size_t size) {
  require(size == bytes(), "a tensor of {} holds {} bytes, {} were given", shape_.str(), bytes(), size);
  if (size != 0) std::memcpy(data_, source, size);
}

Tensor Tensor::clone() const {
  if (empty()) return {};
  Tensor copy(dtype_, shape_);
  copy.copy_from(data_, bytes());
  return copy;
}

Tensor Tensor::reshaped(Shape shape) const {
  require(shape.elements() == shape_.elements(), "cannot reshape {} to {}", shape_.str(), shape.str());
  Tensor result = *this;
  result.shape_ = shape;
  return result;
}

Tensor Tensor::to_f32() const {
  if (dtype_ == DType::f32) return *this;
  Tensor result(DType::f32, shape_);
  auto out = result.span<float>();
  const auto convert = [&](auto* in) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(in[i]);
  };
  switch (dtype_) {
    case DType::f32:
      break;
    case DType::f16: {
      const auto* in = reinterpret_cast<const std::uint16_t*>(data_);
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = half_to_float(in[i]);
      break;
    }
    case DType::s8:
      convert(reinterpret_cast<const std::int8_t*>(data_));
      break;
    case DType::u8:
      convert(reinterpret_cast<const std::uint8_t*>(data_));
      break;
    case DType::s16:
      convert(reinterpret_cast<const std::int16_t*>(data_));
      break;
    case DType::s32:
      convert(reinterpret_cast<const std::int32_t*>(data_));
      break;
    case DType::s64:
      convert(reinterpret_cast<const std::int64_t*>(data_));
      break;
    case DType::f64:
      convert(reinterpret_cast<const double*>(data_));
      break;
  }
  return result;
}

float half_to_float(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  const float sign = (bits & 0x8000) ? -1.0f : 1.0f;
  if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);  // subnormal
  return sign * std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
}

std::uint16_t float_to_half(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint16_t sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000);
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return sign | 0x7e00;
  if (magnitude >= 65520.0f) return sign | 0x7c00;  // 65504 + half a step rounds up to infinity
  if (magnitude < 0x1p-14f) {                       // subnormal: steps of 2^-24
    return sign | static_cast<std::uint16_t>(std::lrint(magnitude * 0x1p24f));
  }
  // Drop 13 mantissa bits, half to even: add half a step minus one, plus the bit that becomes the lowest.
  const std::uint32_t rounded = (bits & 0x7fffffff) + 0xfff + ((bits >> 13) & 1);
  return sign | static_cast<std::uint16_t>((rounded - (112u << 23)) >> 13);
}

}  // namespace octet
