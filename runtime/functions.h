// The real functions of one value that a network may hold, and their integer form (rule 12): a table of 256 bytes, made
// once when a network is lowered and carried by it, so that no device computes an exponential of its own.
#pragma once

#include <cmath>

#include "runtime/graph.h"
#include "runtime/quant_params.h"

namespace octet {

// In double; callers round once to float. `op` is one of sigmoid ... clip; a NaN stays one.
inline double apply_function(Op op, double alpha, double beta, double x) {
  const auto clamp = [](double v, double lo, double hi) { return v < lo ? lo : v > hi ? hi : v; };
  switch (op) {
    case Op::sigmoid:
      return 1.0 / (1.0 + std::exp(-x));
    case Op::hard_sigmoid:
      return clamp(alpha * x + beta, 0, 1);
    case Op::hard_swish:
      return x * clamp(x / 6 + 0.5, 0, 1);
    case Op::leaky_relu:
      return x >= 0 ? x : alpha * x;
    case Op::clip:
      return clamp(x, alpha, beta);
    default:
      return x;
  }
}

// Rule 12: entry `byte` is the output's byte for the input's byte: y = f(step_in * (q - zero_in)), rounded to float,
// quantised by rule 2. Bytes that the input cannot hold are given the entry of the nearest that it can.
Tensor function_table(Op op, float alpha, float beta, const QuantParams& in, const QuantParams& out);

}  // namespace octet
