#include "runtime/shape.h"

#include <fmt/format.h>
#include <algorithm>

#include "runtime/error.h"

namespace octet {

Shape::Shape(std::span<const std::int64_t> dims) {
  require(dims.size() <= kMaxRank, "a shape of {} dimensions: at most {} are supported", dims.size(), kMaxRank);
  rank_ = static_cast<int>(dims.size());
  bool empty = false;
  for (int axis = 0; axis < rank_; ++axis) {
    const std::int64_t dim = dims[axis];
    require(dim >= 0, "a shape with the negative dimension {}", dim);
    dims_[axis] = dim;
    if (dim == 0) {
      empty = true;
    } else {
      require(elements_ <= kMaxElements / dim, "a shape of more than 2^46 elements");
      elements_ *= dim;
    }
  }
  if (empty) elements_ = 0;
}

std::string Shape::str() const {
  if (rank_ == 0) return "scalar";
  return fmt::format("{}", fmt::join(dims(), "x"));
}

bool Shape::operator==(const Shape& other) const { return std::ranges::equal(dims(), other.dims()); }

}  // namespace octet
