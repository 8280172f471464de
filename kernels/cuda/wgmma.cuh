// Matrix instructions of a warpgroup (four warps) on Hopper, both operands in shared memory. Layer 2 of 4 (sm_90a
// only).
//
// D[64][N] += A[64][32] * B[32][N], bytes in, int32 sums in registers: warp w, lane 4g + t holds of every 8 columns j
//
//     d[4j + 0], d[4j + 1]   row 16w + g,      columns 8j + 2t, 8j + 2t + 1
//     d[4j + 2], d[4j + 3]   row 16w + g + 8,  the same columns
//
// An operand is a matrix of rows of 128 bytes of K (A's rows are pixels, B's are output channels), 8 rows being one
// "atom" of 1024 bytes whose 16-byte units the copy engine permutes: unit u of row r lies at u ^ (r % 8), so that
// neither side meets bank conflicts. A step of 32 bytes along K is a step of 32 in the start address: the hardware
// applies the permutation to the final address, which is why atoms must begin at multiples of 1024.
#pragma once

#include <cstdint>

namespace octet::kernels::cuda::wgmma {

constexpr int kRowBytes = 128;  // of one row of a stage: one swizzle span
constexpr int kStepBytes = 32;  // of K in one instruction
constexpr int kRows = 64;       // of A in one instruction

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Bits 0-13 address / 16, 16-29 unused for swizzled operands along K, 32-45 distance of atoms / 16, 62-63 the 128-byte
// permutation. (PTX ISA, "matrix descriptor format".)
__device__ __forceinline__ std::uint64_t descriptor(std::uint32_t shared) {
  constexpr std::uint64_t kAtoms = 8 * kRowBytes / 16;
  return (std::uint64_t{1} << 62) | (kAtoms << 32) | (std::uint64_t{1} << 16) | ((shared & 0x3FFFF) >> 4);
}
constexpr std::uint64_t kDescriptorStep = kStepBytes / 16;

// Orders register and shared-memory accesses before the instructions that follow.
__device__ __forceinline__ void begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int Pending>
__device__ __forceinline__ void wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}
// The sums are read and written behind the compiler's back until wait(): this keeps it from moving its own accesses.
template <int Count>
__device__ __forceinline__ void pin(int (&d)[Count]) {
#pragma unroll
  for (int i = 0; i < Count; ++i) asm volatile("" : "+r"(d[i])::"memory");
}

// clang-format off
#define OCTET_LIST0 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define OCTET_SUMS0 \
    "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]), "+r"(d[4]), "+r"(d[5]), "+r"(d[6]), "+r"(d[7]), \
    "+r"(d[8]), "+r"(d[9]), "+r"(d[10]), "+r"(d[11]), "+r"(d[12]), "+r"(d[13]), "+r"(d[14]), "+r"(d[15]), \
    "+r"(d[16]), "+r"(d[17]), "+r"(d[18]), "+r"(d[19]), "+r"(d[20]), "+r"(d[21]), "+r"(d[22]), "+r"(d[23]), \
    "+r"(d[24]), "+r"(d[25]), "+r"(d[26]), "+r"(d[27]), "+r"(d[28]), "+r"(d[29]), "+r"(d[30]), "+r"(d[31])
#define OCTET_LIST1 \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define OCTET_SUMS1 \
    "+r"(d[32]), "+r"(d[33]), "+r"(d[34]), "+r"(d[35]), "+r"(d[36]), "+r"(d[37]), "+r"(d[38]), "+r"(d[39]), \
    "+r"(d[40]), "+r"(d[41]), "+r"(d[42]), "+r"(d[43]), "+r"(d[44]), "+r"(d[45]), "+r"(d[46]), "+r"(d[47]), \
    "+r"(d[48]), "+r"(d[49]), "+r"(d[50]), "+r"(d[51]), "+r"(d[52]), "+r"(d[53]), "+r"(d[54]), "+r"(d[55]), \
    "+r"(d[56]), "+r"(d[57]), "+r"(d[58]), "+r"(d[59]), "+r"(d[60]), "+r"(d[61]), "+r"(d[62]), "+r"(d[63])
#define OCTET_LIST2 \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define OCTET_SUMS2 \
    "+r"(d[64]), "+r"(d[65]), "+r"(d[66]), "+r"(d[67]), "+r"(d[68]), "+r"(d[69]), "+r"(d[70]), "+r"(d[71]), \
    "+r"(d[72]), "+r"(d[73]), "+r"(d[74]), "+r"(d[75]), "+r"(d[76]), "+r"(d[77]), "+r"(d[78]), "+r"(d[79]), \
    "+r"(d[80]), "+r"(d[81]), "+r"(d[82]), "+r"(d[83]), "+r"(d[84]), "+r"(d[85]), "+r"(d[86]), "+r"(d[87]), \
    "+r"(d[88]), "+r"(d[89]), "+r"(d[90]), "+r"(d[91]), "+r"(d[92]), "+r"(d[93]), "+r"(d[94]), "+r"(d[95])
#define OCTET_LIST3 \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define OCTET_SUMS3 \
    "+r"(d[96]), "+r"(d[97]), "+r"(d[98]), "+r"(d[99]), "+r"(d[100]), "+r"(d[101]), "+r"(d[102]), "+r"(d[103]), \
    "+r"(d[104]), "+r"(d[105]), "+r"(d[106]), "+r"(d[107]), "+r"(d[108]), "+r"(d[109]), "+r"(d[110]), "+r"(d[111]), \
    "+r"(d[112]), "+r"(d[113]), "+r"(d[114]), "+r"(d[115]), "+r"(d[116]), "+r"(d[117]), "+r"(d[118]), "+r"(d[119]), \
    "+r"(d[120]), "+r"(d[121]), "+r"(d[122]), "+r"(d[123]), "+r"(d[124]), "+r"(d[125]), "+r"(d[126]), "+r"(d[127])
// The operands after the sums are numbered on from them.
#define OCTET_WGMMA(n, type, list, at_a, at_b, at_p, ...)                                              \
  asm volatile("{.reg .pred p; setp.ne.b32 p, " at_p ", 0;\n\t"                                        \
               "wgmma.mma_async.sync.aligned.m64n" #n "k32.s32." type ".s8 {" list "}, " at_a ", " at_b ", p;}" \
               : __VA_ARGS__ : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))
// clang-format on

// A is s8 or, with Unsigned, u8; B is s8. Without `accumulate` the sums start at 0. Asynchronous: see wait().
template <bool Unsigned>
__device__ __forceinline__ void multiply(int (&d)[32], std::uint64_t a, std::uint64_t b, bool accumulate) {
  if constexpr (Unsigned) {
    OCTET_WGMMA(64, "u8", OCTET_LIST0, "%32", "%33", "%34", OCTET_SUMS0);
  } else {
    OCTET_WGMMA(64, "s8", OCTET_LIST0, "%32", "%33", "%34", OCTET_SUMS0);
  }
}
template <bool Unsigned>
__device__ __forceinline__ void multiply(int (&d)[64], std::uint64_t a, std::uint64_t b, bool accumulate) {
#define OCTET_LIST OCTET_LIST0 ", " OCTET_LIST1
  if constexpr (Unsigned) {
    OCTET_WGMMA(128, "u8", OCTET_LIST, "%64", "%65", "%66", OCTET_SUMS0, OCTET_SUMS1);
  } else {
    OCTET_WGMMA(128, "s8", OCTET_LIST, "%64", "%65", "%66", OCTET_SUMS0, OCTET_SUMS1);
  }
#undef OCTET_LIST
}
template <bool Unsigned>
__device__ __forceinline__ void multiply(int (&d)[128], std::uint64_t a, std::uint64_t b, bool accumulate) {
#define OCTET_LIST OCTET_LIST0 ", " OCTET_LIST1 ", " OCTET_LIST2 ", " OCTET_LIST3
  if constexpr (Unsigned) {
    OCTET_WGMMA(256, "u8", OCTET_LIST, "%128", "%129", "%130", OCTET_SUMS0, OCTET_SUMS1, OCTET_SUMS2, OCTET_SUMS3);
  } else {
    OCTET_WGMMA(256, "s8", OCTET_LIST, "%128", "%129", "%130", OCTET_SUMS0, OCTET_SUMS1, OCTET_SUMS2, OCTET_SUMS3);
  }
#undef OCTET_LIST
}

#undef OCTET_WGMMA
#undef OCTET_LIST0
#undef OCTET_SUMS0
#undef OCTET_LIST1
#undef OCTET_SUMS1
#undef OCTET_LIST2
#undef OCTET_SUMS2
#undef OCTET_LIST3
#undef OCTET_SUMS3

#endif  // sm_90a

}  // namespace octet::kernels::cuda::wgmma
