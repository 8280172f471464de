#include "calib/fake_quant.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "runtime/arithmetic.h"
#include "runtime/error.h"
#include "runtime/float_environment.h"

namespace octet::calib {
namespace {

// For every element of `shape`, row-major, the index of its amax: dimensions of 1 repeat, missing leading ones too.
class Broadcast {
 public:
  Broadcast(const Shape& shape, const Shape& amax) : shape_(shape) {
    require(amax.rank() <= shape.rank() || amax.elements() == 1, "an amax of shape {} for a tensor of shape {}",
            amax.str(), shape.str());
    strides_.assign(static_cast<std::size_t>(shape.rank()), 0);
    std::int64_t stride = 1;
    for (int d = std::min(amax.rank(), shape.rank()) - 1; d >= 0 && amax.elements() != 1; --d) {
      const int at = shape.rank() - amax.rank() + d;
      require(amax[d] == 1 || amax[d] == shape[at], "an amax of shape {} does not broadcast over {}", amax.str(),
              shape.str());
      if (amax[d] != 1) strides_[static_cast<std::size_t>(at)] = stride;
      stride *= amax[d];
    }
    index_.assign(strides_.size(), 0);
  }

  std::size_t next() {
    const std::int64_t current = at_;
    for (int d = shape_.rank() - 1; d >= 0; --d) {
      const auto i = static_cast<std::size_t>(d);
      at_ += strides_[i];
      if (++index_[i] < shape_[d]) break;
      at_ -= strides_[i] * shape_[d];
      index_[i] = 0;
    }
    return static_cast<std::size_t>(current);
  }

 private:
  Shape shape_;
  std::vector<std::int64_t> strides_, index_;
  std::int64_t at_ = 0;
};

Tensor to_half(const Tensor& tensor) {
  Tensor half(DType::f16, tensor.shape());
  auto* out = reinterpret_cast<std::uint16_t*>(half.raw());
  for (const float value : tensor.span<float>()) *out++ = float_to_half(value);
  return half;
}

}  // namespace

float fake_quant_value(float x, float scale, const FakeQuant& how) {
  return arithmetic::clamp_real(std::nearbyint(x * scale), how.min_bound(), how.max_bound()) / scale;
}

IntegersAndScale tensor_quant(const Tensor& input, const Tensor& amax, const FakeQuant& how) {
  require(how.num_bits >= 2 && how.num_bits <= 16, "{} bits: 2 to 16 were expected", how.num_bits);
  const FloatEnvironment environment;
  const Tensor real = input.to_f32(), ranges = amax.to_f32();
  require(!real.empty() && !ranges.empty(), "fake quantisation of an empty tensor");
  for (const float a : ranges.span<float>()) {
    require(!(a < 0), "Negative values in amax: {}", a);
    require(!std::isnan(a), "the amax is NaN");
  }
  IntegersAndScale result{Tensor(DType::f32, real.shape()), Tensor(DType::f32, ranges.shape())};
  const auto scale = result.scale.span<float>();
  for (std::size_t i = 0; i < scale.size(); ++i) {
    const float a = ranges.span<float>()[i];
    scale[i] = a <= arithmetic::kDeadRange ? 0.0f : how.max_bound() / a;
  }
  Broadcast index(real.shape(), ranges.shape());
  const auto out = result.integers.span<float>();
  const auto in = real.span<float>();
  for (std::size_t i = 0; i < in.size(); ++i) {
    require(!how.is_unsigned || !(in[i] < 0), "Negative values encountered in unsigned quantization: {}", in[i]);
    out[i] = arithmetic::clamp_real(std::nearbyint(in[i] * scale[index.next()]), how.min_bound(), how.max_bound());
  }
  std::ranges::replace(scale, 0.0f, 1.0f);
  return result;
}

Tensor fake_tensor_quant(const Tensor& input, const Tensor& amax, const FakeQuant& how) {
  IntegersAndScale q = tensor_quant(input, amax, how);
  Broadcast index(q.integers.shape(), q.scale.shape());
  for (float& value : q.integers.span<float>()) value /= q.scale.span<float>()[index.next()];
  return input.dtype() == DType::f16 ? to_half(q.integers) : q.integers;
}

}  // namespace octet::calib
