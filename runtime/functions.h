// The real functions of one value that a network may hold, and their integer form (rule 12): a table of 256 bytes, made
// once when a network is lowered and carried by it, so that no device computes an exponential of its own.
#pragma once

#include "runtime/function_of_one.h"
#include "runtime/graph.h"
#include "runtime/quant_params.h"

namespace octet {

// Which of them `op`, one of sigmoid ... clip, is.
inline Function function_of(Op op) {
  return static_cast<Function>(static_cast<int>(op) - static_cast<int>(Op::sigmoid));
}
static_assert(static_cast<int>(Op::clip) - static_cast<int>(Op::sigmoid) == static_cast<int>(Function::clip));

// Rule 12: entry `byte` is the output's byte for the input's byte: y = f(step_in * (q - zero_in)), rounded to float,
// quantised by rule 2. Bytes that the input cannot hold are given the entry of the nearest that it can.
Tensor function_table(Op op, float alpha, float beta, const QuantParams& in, const QuantParams& out);

}  // namespace octet
