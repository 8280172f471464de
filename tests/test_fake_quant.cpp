// Fake quantisation: the published example, the field's tensors bit by bit, and its edge cases.
#include "calib/fake_quant.h"

#include <algorithm>
#include <bit>

#include "tests/calibration_goldens.h"

using namespace octet;
using namespace octet::calib;
using namespace octet::test;

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

Tensor row(std::vector<float> values) {
  return Tensor::of<float>(Shape{static_cast<std::int64_t>(values.size())}, values);
}
Tensor scalar(float value) { return Tensor::of<float>(Shape{}, std::vector<float>{value}); }
std::vector<float> values_of(const Tensor& t) { return {t.span<float>().begin(), t.span<float>().end()}; }

}  // namespace

TEST_CASE("the published example: ten inputs, amax 0.9201") {
  const Tensor x = row({0.5043f, 0.8178f, 0.4798f, 0.9201f, 0.6819f, 0.6900f, 0.6925f, 0.3804f, 0.4479f, 0.4954f});
  const std::vector<double> expected{0.5071, 0.8187, 0.4782, 0.9201, 0.6810, 0.6883, 0.6955, 0.3840, 0.4492, 0.4927};
  const IntegersAndScale q = tensor_quant(x, scalar(0.9201f));
  CHECK(values_of(q.integers) == std::vector<float>{70, 113, 66, 127, 94, 95, 96, 53, 62, 68});
  const std::vector<float> back = values_of(fake_tensor_quant(x, scalar(0.9201f)));
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(std::round(back[i] * 1e4) == std::round(expected[i] * 1e4));
}

TEST_CASE("the field's fake-quantised tensors, bit by bit") {
  const auto g = calibration_goldens();
  if (!g) return;
  int tensors = 0;
  for (const auto& golden : g->expected["fake_quant"]) {
    const std::string name = golden["output"];
    CAPTURE(name);
    const FakeQuant how{golden["num_bits"].get<int>(), golden["unsigned"].get<bool>(),
                        golden["narrow_range"].get<bool>()};
    const Tensor ours = fake_tensor_quant(g->tensors.at(golden["input"].get<std::string>()),
                                          scalar(static_cast<float>(golden["amax"].get<double>())), how);
    const Tensor& theirs = g->tensors.at(name);
    REQUIRE(ours.shape() == theirs.shape());
    // -0.0f and 0.0f are different bits of one number; both sides make them the same way, but == is what is promised.
    CHECK(values_of(ours) == values_of(theirs));
    ++tensors;
  }
  CHECK(tensors == 4);
}

TEST_CASE("bounds: bits, signed, unsigned, narrow range") {
  const Tensor x = row({-10, -1, -0.5f, 0, 0.5f, 1, 10});
  CHECK(values_of(tensor_quant(x, scalar(1)).integers) == std::vector<float>{-127, -127, -64, 0, 64, 127, 127});
  CHECK(values_of(tensor_quant(x, scalar(1), {.narrow_range = false}).integers) ==
        std::vector<float>{-128, -127, -64, 0, 64, 127, 127});
  CHECK(values_of(tensor_quant(x, scalar(1), {.num_bits = 2}).integers) ==
        std::vector<float>{-1, -1, -0.0f, 0, 0, 1, 1});
  CHECK(values_of(tensor_quant(x, scalar(1), {.num_bits = 16}).integers)[6] == 32767);
  const Tensor positive = row({0, 0.5f, 2});
  CHECK(values_of(tensor_quant(positive, scalar(1), {.is_unsigned = true}).integers) ==
        std::vector<float>{0, 128, 255});
  CHECK(values_of(tensor_quant(positive, scalar(1), {.num_bits = 4, .is_unsigned = true}).integers)[2] == 15);
  CHECK(std::isnan(values_of(fake_tensor_quant(row({kNaN}), scalar(1)))[0]));
}

TEST_CASE("an amax of at most 2^-24 gives zeros and a scale of 1") {
  const Tensor x = row({-5, 0, 1e-9f, 3});
  for (const float amax : {0.0f, 0x1p-24f}) {
    const IntegersAndScale q = tensor_quant(x, scalar(amax));
    for (const float v : q.integers.span<float>()) CHECK(v == 0);
    CHECK(values_of(q.scale) == std::vector<float>{1});
    for (const float v : values_of(fake_tensor_quant(x, scalar(amax)))) CHECK(v == 0);
  }
  CHECK(values_of(tensor_quant(x, scalar(0x1.000002p-24f)).integers)[3] == 127);
}

TEST_CASE("amax broadcasts: per channel, per column, one for all") {
  const Tensor x = Tensor::of<float>(Shape{2, 3}, std::vector<float>{1, 2, 4, 1, 2, 4});
  const Tensor rows = Tensor::of<float>(Shape{2, 1}, std::vector<float>{4, 127});
  CHECK(values_of(tensor_quant(x, rows).integers) == std::vector<float>{32, 64, 127, 1, 2, 4});
  CHECK(values_of(tensor_quant(x, row({1, 2, 4})).integers) == std::vector<float>(6, 127));  // fewer dimensions do
  CHECK(values_of(tensor_quant(x, Tensor::of<float>(Shape{1, 1}, std::vector<float>{4})).integers)[1] == 64);
  CHECK_THROWS_WITH_AS(tensor_quant(x, row({1, 2})), doctest::Contains("does not broadcast"), Error);
}

TEST_CASE("what is refused") {
  const Tensor x = row({-1, 2});
  CHECK_THROWS_WITH_AS(tensor_quant(x, scalar(-1)), doctest::Contains("Negative values in amax"), Error);
  CHECK_THROWS_AS(tensor_quant(x, scalar(kNaN)), Error);
  CHECK_THROWS_WITH_AS(tensor_quant(x, scalar(1), {.is_unsigned = true}),
                       doctest::Contains("Negative values encountered in unsigned quantization"), Error);
  CHECK_THROWS_AS(tensor_quant(x, scalar(1), {.num_bits = 1}), Error);
  CHECK_THROWS_AS(tensor_quant(x, scalar(1), {.num_bits = 17}), Error);
}

TEST_CASE("half precision is computed in float32 and comes back as half") {
  std::vector<std::uint16_t> bits;
  for (const float v : {0.5043f, -0.8178f, 3.0f}) bits.push_back(float_to_half(v));
  const Tensor half(DType::f16, Shape{3}, bits.data());
  const Tensor result = fake_tensor_quant(half, scalar(0.9201f));
  REQUIRE(result.dtype() == DType::f16);
  const std::vector<float> expected = values_of(fake_tensor_quant(half.to_f32(), scalar(0.9201f)));
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(reinterpret_cast<const std::uint16_t*>(result.raw())[i] == float_to_half(expected[i]));
  }
}
