// Float matrix products for the portable kernels, through Eigen: a well-kept GEMM serves the float path well, and the
// float path is not what Octet exists for. The blocking buffers stay on the stack, so that a run allocates nothing.
#pragma once

#define EIGEN_STACK_ALLOCATION_LIMIT (1 << 20)
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>

#include "kernels/cpu/portable.h"

namespace octet::kernels::portable {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstMatrix = Eigen::Map<const RowMajor>;
using Matrix = Eigen::Map<RowMajor>;

// sums[rows][columns] = x[rows][depth] * w[depth][columns]. A few columns at a time: Eigen copies a block of w, at most
// about 1000 deep, which for 128 columns stays below the stack limit above; wider blocks would come from the heap.
[[maybe_unused]] static void multiply(const float* x, const float* w, float* sums, std::int64_t rows,
                                      std::int64_t depth, std::int64_t columns) {
  constexpr std::int64_t kColumns = 128;
  for (std::int64_t c = 0; c < columns; c += kColumns) {
    const std::int64_t count = columns - c < kColumns ? columns - c : kColumns;
    const Eigen::OuterStride<> stride(columns);
    Eigen::Map<RowMajor, 0, Eigen::OuterStride<>>(sums + c, rows, count, stride).noalias() =
        ConstMatrix(x, rows, depth) * Eigen::Map<const RowMajor, 0, Eigen::OuterStride<>>(w + c, depth, count, stride);
  }
}

// out[p][o] = clamp(sums[p][o] + bias[o]) for one pixel.
[[maybe_unused]] static void store_real(const ConvParams& p, float* out, std::int64_t channel, std::int64_t count,
                                        const float* __restrict sums) {
  const float* __restrict bias = p.bias + channel;
  for (std::int64_t c = 0; c < count; ++c) out[c] = arithmetic::clamp_real(sums[c] + bias[c], p.lo, p.hi);
}

}  // namespace octet::kernels::portable
