// Matrix instructions of one warp, 8-bit operands and int32 sums (sm_75 on). Layer 2 of 4 (ptx.cuh names them).
//
// D[16][8] += A[16][32] * B[32][8]; lane = 4 * g + t holds
//
//     A   a[0] row g,     bytes 4t..4t+3        B   b[0] column g, bytes 4t..4t+3
//         a[1] row g + 8, bytes 4t..4t+3            b[1] column g, bytes 16 + 4t..
//         a[2] row g,     bytes 16 + 4t..
//         a[3] row g + 8, bytes 16 + 4t..       D   d[0], d[1] row g,     columns 2t, 2t + 1
//                                                   d[2], d[3] row g + 8, columns 2t, 2t + 1
//
// ptx::load_matrices delivers A and B so. On sm_75 the same product is four m8n8k16 instructions, whose operands are
// exactly these registers.
#pragma once

#include <cstdint>

#include "kernels/cuda/ptx.cuh"

#ifndef OCTET_SIMT  // (simt_ptx.h has it there)

namespace octet::kernels::cuda {

// A is s8 or, with Unsigned, u8; B is s8. Sums wrap mod 2^32 (no .satfinite: rule 5).
template <bool Unsigned>
__device__ __forceinline__ void multiply_16x8x32(int (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                                 std::uint32_t b1) {
#if __CUDA_ARCH__ >= 800
#define OCTET_MMA(type)                                            \
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32." type       \
               ".s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, " \
               "%9}, {%0, %1, %2, %3};"                            \
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])    \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))
  if constexpr (Unsigned) {
    OCTET_MMA("u8");
  } else {
    OCTET_MMA("s8");
  }
#undef OCTET_MMA
#else
#define OCTET_MMA(type, d0, d1, a, b)                                                                 \
  asm volatile("mma.sync.aligned.m8n8k16.row.col.s32." type ".s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};" \
               : "+r"(d0), "+r"(d1)                                                                   \
               : "r"(a), "r"(b))
  if constexpr (Unsigned) {
    OCTET_MMA("u8", d[0], d[1], a[0], b0);
    OCTET_MMA("u8", d[2], d[3], a[1], b0);
    OCTET_MMA("u8", d[0], d[1], a[2], b1);
    OCTET_MMA("u8", d[2], d[3], a[3], b1);
  } else {
    OCTET_MMA("s8", d[0], d[1], a[0], b0);
    OCTET_MMA("s8", d[2], d[3], a[1], b0);
    OCTET_MMA("s8", d[0], d[1], a[2], b1);
    OCTET_MMA("s8", d[2], d[3], a[3], b1);
  }
#undef OCTET_MMA
#endif
}

}  // namespace octet::kernels::cuda

#endif
