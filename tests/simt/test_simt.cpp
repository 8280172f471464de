// The emulated device itself: that it gives right results for right kernels, and that it finds what it is there to
// find.
#include <doctest/doctest.h>

#include <stdexcept>
#include <vector>

#include "cuda_runtime.h"

namespace {

cudaError_t launch(unsigned blocks, unsigned threads, const std::function<void()>& body) {
  return simt_launch({.gridDim = blocks, .blockDim = threads}, body);
}

// The sum of 0 .. threads - 1 in every thread, through shared memory; with or without its barriers.
__global__ void sum_of_block(int* out, bool barriers) {
  __shared__ int values[256];
  const int i = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  values[i] = i;
  if (barriers) __syncthreads();
  for (int width = threads / 2; width > 0; width /= 2) {
    if (i < width) values[i] += values[i + width];
    if (barriers) __syncthreads();
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = values[0];
}

}  // namespace

TEST_CASE("emulated device: barriers order shared memory, and without them results are wrong") {
  std::vector<int> out(3 * 256);
  CHECK(launch(3, 256, [&] { sum_of_block(out.data(), true); }) == cudaSuccess);
  int wrong = 0;
  for (const int sum : out) wrong += sum != 255 * 128;
  CHECK(wrong == 0);
  CHECK(launch(3, 256, [&] { sum_of_block(out.data(), false); }) == cudaSuccess);
  for (const int sum : out) wrong += sum != 255 * 128;
  CHECK(wrong > 0);
}

TEST_CASE("emulated device: shuffles and votes") {
  std::vector<int> votes(64), up(64), turned(64);
  CHECK(launch(1, 64, [&] {
          const int i = static_cast<int>(threadIdx.x);
          votes[static_cast<std::size_t>(i)] = static_cast<int>(__ballot_sync(0xFFFFFFFFu, i % 3 == 0));
          up[static_cast<std::size_t>(i)] = __shfl_up_sync(0xFFFFFFFFu, i, 4);
          turned[static_cast<std::size_t>(i)] = __shfl_xor_sync(0xFFFFFFFFu, i, 5);
        }) == cudaSuccess);
  for (int i = 0; i < 64; ++i) {
    unsigned wanted = 0;
    for (int lane = 0; lane < 32; ++lane) wanted |= ((i / 32 * 32 + lane) % 3 == 0 ? 1u : 0u) << lane;
    CHECK(static_cast<unsigned>(votes[static_cast<std::size_t>(i)]) == wanted);
    CHECK(up[static_cast<std::size_t>(i)] == (i % 32 < 4 ? i : i - 4));
    CHECK(turned[static_cast<std::size_t>(i)] == (i ^ 5));
  }
}

TEST_CASE("emulated device: a barrier that one thread skips, lanes at different collectives, a copy never waited for") {
  CHECK_THROWS_WITH_AS(launch(1, 64,
                              [] {
                                if (threadIdx.x != 7) simt::meet_block(0, 64);
                              }),
                       doctest::Contains("63 threads of a block wait"), std::runtime_error);
  CHECK_THROWS_WITH_AS(launch(1, 32,
                              [] {
                                if (threadIdx.x < 9) {
                                  __syncwarp();
                                } else {
                                  (void)__any_sync(0xFFFFFFFFu, 1);
                                }
                              }),
                       doctest::Contains("__ballot_sync"), std::runtime_error);
  static int from = 5, to = 0;
  CHECK_THROWS_WITH_AS(launch(1, 1,
                              [] {
                                simt::copy_later(&to, &from, sizeof to, true);
                                simt::close_group();
                              }),
                       doctest::Contains("copies"), std::runtime_error);
  CHECK(to == 0);
  CHECK(launch(1, 1, [] {
          simt::copy_later(&to, &from, sizeof to, true);
          simt::close_group();
          simt::wait_for_groups(0);
        }) == cudaSuccess);
  CHECK(to == 5);
}
