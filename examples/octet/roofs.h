// How far from the limit: what each step of a program could take at best on this machine.
#pragma once

#include "examples/octet/cli.h"
#include "kernels/limits/limits.h"
#include "runtime/program.h"

namespace octet::cli {

json limits_json(const kernels::Limits& limits);
void print_limits(const json& limits);

// A step can be no faster than its multiplications at the peak of the kernel's instruction set, nor than its bytes
// (inputs, output and weights, each once) at the speed of the cache that holds them all. The roof is the later of the
// two. Both are one core's, times `threads`.
struct Roof {
  std::int64_t ops = 0, bytes = 0;  // of a whole batch; a multiply-accumulate is two operations
  double peak = 0;                  // operations a second; 0: the machine has no peak of this type
  std::string limit;                // "compute", or the level whose reads are the limit: "L2"
  double milliseconds = 0;
};
Roof roof_of(const Program& program, const Step& step, const kernels::Limits& limits, int threads);

}  // namespace octet::cli
