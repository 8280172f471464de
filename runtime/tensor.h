// Tensor: a dense, row-major array of one element type, either owning its memory (64-byte aligned) or viewing somebody
// else's. Weights, network inputs and outputs and file contents are Tensors; the activations inside a running network
// are plain kernels::View structs over an arena (runtime/program.h), not Tensors.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "runtime/dtype.h"
#include "runtime/shape.h"

namespace octet {

class Tensor {
 public:
  static constexpr std::size_t kAlignment = 64;  // one cache line, one AVX512 register, one AMX tile row

  Tensor() = default;
  // Owning, zero-filled. Throws Error when the memory cannot be had.
  Tensor(DType type, Shape shape);
  // A view: `data` must outlive it. `keep` optionally shares the ownership of what `data` points into.
  Tensor(DType type, Shape shape, void* data, std::shared_ptr<const void> keep = nullptr);

  template <class T>
  static Tensor of(Shape shape, std::span<const T> values) {  // an owning copy; throws Error when the counts differ
    Tensor tensor(DTypeOf<T>::value, shape);
    tensor.copy_from(values.data(), values.size_bytes());
    return tensor;
  }

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::int64_t elements() const { return data_ ? shape_.elements() : 0; }
  std::size_t bytes() const { return static_cast<std::size_t>(elements()) * size_of(dtype_); }
  bool empty() const { return data_ == nullptr; }  // default-constructed
  bool is_view() const { return view_; }           // of memory that is not its own, a mapped file's for one
  std::byte* raw() { return data_; }               // null when empty
  const std::byte* raw() const { return data_; }

  // Typed access; throws Error when T is not the element type.
  template <class T>
  std::span<T> span() {
    check_type(DTypeOf<T>::value);
    return {reinterpret_cast<T*>(data_), static_cast<std::size_t>(elements())};
  }
  template <class T>
  std::span<const T> span() const {
    check_type(DTypeOf<T>::value);
    return {reinterpret_cast<const T*>(data_), static_cast<std::size_t>(elements())};
  }

  Tensor clone() const;                // an owning copy
  Tensor reshaped(Shape shape) const;  // shares the memory; throws when the element counts differ
  Tensor to_f32() const;               // converts f16 / f64 / integers; an f32 tensor is shared, not copied

 private:
  void check_type(DType wanted) const;
  void copy_from(const void* source, std::size_t size);

  DType dtype_ = DType::f32;
  Shape shape_;
  std::byte* data_ = nullptr;
  bool view_ = false;
  std::shared_ptr<const void> owner_;  // copies of a Tensor share memory, like everybody's tensors
};

float half_to_float(std::uint16_t bits);   // exact
std::uint16_t float_to_half(float value);  // round to nearest even; overflow gives infinity

}  // namespace octet
