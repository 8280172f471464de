// The real functions of one value that a network may hold, for host and device. Plain: .cu files include it.
#pragma once

#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define OCTET_FUNCTION_HD __host__ __device__ static inline
#else
#define OCTET_FUNCTION_HD [[maybe_unused]] static inline
#endif

namespace octet {

enum class Function : std::uint8_t { sigmoid, hard_sigmoid, hard_swish, leaky_relu, clip };  // as Op has them

// In double; callers round once to float. A NaN stays one. (Libraries' exponentials may differ in a double's last bit,
// which moves the float of one value in some 10^8: float layers are not covered by the contract.)
OCTET_FUNCTION_HD double apply(Function function, double alpha, double beta, double x) {
  const auto clamp = [](double v, double lo, double hi) { return v < lo ? lo : v > hi ? hi : v; };
  switch (function) {
    case Function::sigmoid:
      return 1.0 / (1.0 + ::exp(-x));
    case Function::hard_sigmoid:
      return clamp(alpha * x + beta, 0, 1);
    case Function::hard_swish:
      return x * clamp(x / 6 + 0.5, 0, 1);
    case Function::leaky_relu:
      return x >= 0 ? x : alpha * x;
    case Function::clip:
      return clamp(x, alpha, beta);
  }
  return x;
}

}  // namespace octet
