// AVX512: registers of 64 bytes, one cache line each.
#include "kernels/limits/peaks.h"

namespace octet::kernels::limits {
namespace {

#define OCTET_REGISTER(n) , "zmm" #n  // vzeroall and vzeroupper change them all

#define OCTET_FMA(sum) "vfmadd231ps %%zmm14, %%zmm15, %%zmm" #sum "\n\t"

void multiply_f32(std::int64_t iterations) {
  asm volatile("vzeroall\n"
               "1:\n\t" OCTET_TIMES_12(OCTET_FMA) "dec %0\n\t"
               "jnz 1b\n\t"
               "vzeroupper"
               : "+r"(iterations)
               :
               : "cc" OCTET_TIMES_16(OCTET_REGISTER));
}

#define OCTET_LOAD(n) "vmovdqa64 64*" #n "(%0), %%zmm" #n "\n\t"

void read(const void* data, std::size_t bytes) {
  const auto* end = static_cast<const std::byte*>(data) + bytes;
  asm volatile("1:\n\t" OCTET_TIMES_8(OCTET_LOAD) "add $512, %0\n\t"
               "cmp %1, %0\n\t"
               "jne 1b\n\t"
               "vzeroupper"
               : "+r"(data)
               : "r"(end)
               : "cc", "memory" OCTET_TIMES_16(OCTET_REGISTER));
}

}  // namespace

extern const Peaks peaks_avx512;
const Peaks peaks_avx512 = {.isa = "avx512", .f32 = {"vfmadd231ps zmm", 12 * 16 * 2.0, multiply_f32}, .read = read};

}  // namespace octet::kernels::limits
