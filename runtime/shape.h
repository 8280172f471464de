// Shape: the dimensions of a dense tensor, outermost first. At most 8, each >= 0; the element count is checked against
// overflow when the shape is made, so code behind it may multiply without fear.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace octet {

class Shape {
 public:
  static constexpr int kMaxRank = 8;
  // 2^46 elements: anything above is a lying file, not a tensor.
  static constexpr std::int64_t kMaxElements = std::int64_t{1} << 46;

  Shape() = default;  // rank 0: a scalar, one element
  // Throws Error as said above.
  Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}
  // Throws Error on a negative dimension, more than 8 dimensions or more than 2^46 elements.
  explicit Shape(std::span<const std::int64_t> dims);

  int rank() const { return rank_; }
  std::int64_t operator[](int axis) const { return dims_[axis]; }  // 0 is the outermost axis
  std::int64_t elements() const { return elements_; }
  std::span<const std::int64_t> dims() const { return {dims_.data(), static_cast<std::size_t>(rank_)}; }
  std::string str() const;  // "3x224x224"; "scalar" for rank 0

  bool operator==(const Shape& other) const;

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  int rank_ = 0;
  std::int64_t elements_ = 1;
};

}  // namespace octet
