// CustomOp: an operation that Octet does not have, defined by its user in one place: its shape, its float reference
// and, where there is one, its integer form. Graph::custom() puts it into a network; from then on it is calibrated,
// planned, scored and left in float by --ignore like every other layer. examples/custom_op is a whole one.
//
// It runs on the CPU. Being code, it cannot go into an .octet or .onnx file.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "runtime/quant_params.h"
#include "runtime/shape.h"
#include "runtime/view.h"

namespace octet {

class CustomOp {
 public:
  // Computes row y of image n of the output: all its columns and channels, out.w x out.c. Called from several threads
  // at once, for different rows; whoever only writes that row gives the same bytes on any number of them. Inputs may be
  // read anywhere within (h, w, c).
  using Row = std::function<void(std::span<const View> inputs, const View& out, std::int64_t n, std::int64_t y)>;

  virtual ~CustomOp() = default;
  virtual std::string name() const = 0;  // of the kind of operation, for plans and messages: "three_input_add"
  // Of the output, without the batch. Throws Error where the inputs do not fit each other.
  virtual Shape infer_shape(std::span<const Shape> inputs) const = 0;
  // One observer watches all inputs, which so get one step and zero point (as --share-add-range does for adds).
  virtual bool shares_input_range() const { return false; }

  // f32 in, f32 out: what the operation means.
  virtual Row real() const = 0;
  // 8-bit integers in, 8-bit integers out (integer_at, put_integer), with these parameters; asked for when a network
  // is quantised and again when it is planned. None where these have no integer form: the layer then stays in float.
  virtual Row integer([[maybe_unused]] std::span<const QuantParams> inputs,
                      [[maybe_unused]] const QuantParams& output) const {
    return nullptr;
  }
};

// An element of an 8-bit activation, which is stored as s8 or u8.
inline std::int32_t integer_at(const View& view, std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c) {
  if (view.type == DType::u8) return *view.at<std::uint8_t>(n, y, x, c);
  return *view.at<std::int8_t>(n, y, x, c);
}
inline void put_integer(const View& view, std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c,
                        std::int32_t q) {
  *view.at<std::uint8_t>(n, y, x, c) = static_cast<std::uint8_t>(q);  // either way the low byte
}

}  // namespace octet
