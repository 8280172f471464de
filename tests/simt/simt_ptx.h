// The functions of kernels/cuda/ptx.cuh and mma.cuh for the emulated device.
#pragma once

#include <cstring>

#include "cuda_runtime.h"

namespace octet::kernels::cuda {
namespace ptx {

inline std::uint32_t shared_address(const void* pointer) { return simt::address_of(pointer); }
inline std::uint8_t* dynamic_shared() { return simt::dynamic_shared(); }

template <int Bytes>
void copy_async(std::uint32_t shared, const void* global, bool valid) {
  simt::copy_later(simt::pointer_of(shared), global, Bytes, valid);
}
inline void commit_copies() { simt::close_group(); }
template <int Pending>
void wait_copies() {
  simt::wait_for_groups(Pending);
}

template <int Bytes>
void fill_shared(std::uint32_t shared, std::uint32_t word) {
  for (int i = 0; i < Bytes; i += 4) std::memcpy(static_cast<char*>(simt::pointer_of(shared)) + i, &word, 4);
}
inline int4 load_shared(std::uint32_t shared) {
  int4 v;
  std::memcpy(&v, simt::pointer_of(shared), sizeof v);
  return v;
}
inline void store_shared(std::uint32_t shared, int word) { std::memcpy(simt::pointer_of(shared), &word, sizeof word); }

inline void meet(int barrier, int threads) { simt::meet_block(barrier, threads); }

// Lane i gives row i % 8 of matrix i / 8 and receives 4 bytes of each: row lane / 4, bytes 4 * (lane % 4).
inline void load_matrices(std::uint32_t (&r)[4], std::uint32_t shared) {
  const simt::Slot* rows = simt::meet_warp("ldmatrix", {{shared}});
  const int lane = simt::lane();
  for (int matrix = 0; matrix < 4; ++matrix) {
    const std::uint32_t row = rows[8 * matrix + lane / 4].words[0];
    std::memcpy(&r[matrix], static_cast<const char*>(simt::pointer_of(row)) + 4 * (lane % 4), 4);
  }
}

inline void wait_for_previous_kernel() {}
inline void allow_next_kernel() {}

}  // namespace ptx

// D[16][8] += A[16][32] * B[32][8]; mma.cuh says which lane holds what.
template <bool Unsigned>
void multiply_16x8x32(int (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  const simt::Slot* all = simt::meet_warp(Unsigned ? "mma u8" : "mma s8", {{a[0], a[1], a[2], a[3], b0, b1}});
  // Row r of A and column c of B as 32 bytes: four lanes hold 4 bytes each of either half.
  const auto line = [all](int of, int first_half, int second_half, std::uint8_t(&bytes)[32]) {
    for (int lane = 0; lane < 4; ++lane) {
      std::memcpy(bytes + 4 * lane, &all[4 * of + lane].words[first_half], 4);
      std::memcpy(bytes + 16 + 4 * lane, &all[4 * of + lane].words[second_half], 4);
    }
  };
  const int g = simt::lane() / 4, t = simt::lane() % 4;
  std::uint8_t row[2][32], column[2][32];
  line(g, 0, 2, row[0]), line(g, 1, 3, row[1]);
  line(2 * t, 4, 5, column[0]), line(2 * t + 1, 4, 5, column[1]);
  for (int i = 0; i < 4; ++i) {
    std::int32_t sum = 0;
    for (int k = 0; k < 32; ++k) {
      const std::int32_t from_a = Unsigned ? row[i / 2][k] : static_cast<std::int8_t>(row[i / 2][k]);
      sum += from_a * static_cast<std::int8_t>(column[i % 2][k]);
    }
    d[i] = static_cast<int>(static_cast<std::uint32_t>(d[i]) + static_cast<std::uint32_t>(sum));
  }
}

}  // namespace octet::kernels::cuda
