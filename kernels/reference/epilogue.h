// What every integer layer does with its accumulator, once, for the reference kernels.
#pragma once

#include "kernels/reference/access.h"
#include "runtime/arithmetic.h"

namespace octet::kernels::reference {

// `accumulator` holds the products and the bias. Rule 5 proved at lowering that the true sum fits int32; a bias that
// was wrapped mod 2^32 (rule 4) is unwrapped by the cast.
[[maybe_unused]] static void store(const View& out, const Epilogue& e, std::int64_t n, std::int64_t y, std::int64_t x,
                                   std::int64_t c, std::int64_t accumulator) {
  const auto acc = static_cast<std::int32_t>(accumulator);
  switch (e.form) {
    case Epilogue::Form::one_multiply:
      store8(out, n, y, x, c, arithmetic::requantise(acc, e.multiplier[c], e.lo, e.hi, e.zero));
      break;
    case Epilogue::Form::notebook:
      store8(out, n, y, x, c, arithmetic::requantise_notebook(acc, e.scale_out, e.multiplier[c], e.lo, e.hi));
      break;
    case Epilogue::Form::real:
      *out.at<float>(n, y, x, c) = static_cast<float>(acc) * e.multiplier[c];
      break;
  }
}

}  // namespace octet::kernels::reference
