// What one core of this machine can do at best, measured here and now: so that a table of times can say how far from
// the limit each line is. `octet bench --limits` prints it, `octet bench --per-layer` compares with it.
#pragma once

#include <string>
#include <vector>

#include "kernels/isa.h"
#include "runtime/dtype.h"

namespace octet::kernels {

struct MultiplyPeak {  // multiply-accumulates from registers, one core
  Isa isa;
  DType type;               // f32 or s8
  std::string instruction;  // "vpdpbusd zmm"
  double ops_per_second;    // a multiply-accumulate is two operations
};

// Reading from one level of the memory hierarchy, one core.
struct ReadPeak {
  std::string level;      // "L1", "L2", "L3", "memory"
  std::int64_t capacity;  // of that level in bytes, as the system tells; what is larger lives in the next one
  std::int64_t buffer;    // bytes that were read again and again
  double bytes_per_second;
};

struct Limits {  // of one core; immutable once measured
  std::vector<MultiplyPeak> multiply;
  std::vector<ReadPeak> read;  // from the fastest to the slowest

  // The peak of the fastest instruction set within `level` that has one for `type`; nullptr when there is none.
  const MultiplyPeak* multiply_peak(Isa level, DType type) const;
  // The level that holds this many bytes.
  const ReadPeak& read_peak(std::int64_t bytes) const;
};

// Measures every instruction set that this machine has, on the calling thread: each peak is the best of five rounds of
// ten milliseconds, about a second in all. Throws Error when memory is lacking.
Limits measure_limits();

}  // namespace octet::kernels
