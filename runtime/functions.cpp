#include "runtime/functions.h"

#include <algorithm>

#include "runtime/arithmetic.h"

namespace octet {

Tensor function_table(Op op, float alpha, float beta, const QuantParams& in, const QuantParams& out) {
  Tensor table(DType::u8, Shape{256});
  for (int byte = 0; byte < 256; ++byte) {
    const std::int32_t stored = in.lo >= 0 ? byte : static_cast<std::int8_t>(static_cast<std::uint8_t>(byte));
    const std::int32_t q = std::clamp(stored, in.lo, in.hi);
    const double x = arithmetic::dequantise(q, in.step, in.zero);
    const auto y = static_cast<float>(apply(function_of(op), alpha, beta, x));
    table.span<std::uint8_t>()[static_cast<std::size_t>(byte)] =
        static_cast<std::uint8_t>(arithmetic::quantise(y, out));
  }
  return table;
}

}  // namespace octet
