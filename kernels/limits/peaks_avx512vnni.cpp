// AVX512-VNNI: vpdpbusd adds four products to each of sixteen sums.
#include "kernels/limits/peaks.h"

namespace octet::kernels::limits {
namespace {

#define OCTET_REGISTER(n) , "zmm" #n  // vzeroall and vzeroupper change them all

#define OCTET_DOT(sum) "vpdpbusd %%zmm14, %%zmm15, %%zmm" #sum "\n\t"

void multiply_s8(std::int64_t iterations) {
  asm volatile("vzeroall\n"
               "1:\n\t" OCTET_TIMES_12(OCTET_DOT) "dec %0\n\t"
               "jnz 1b\n\t"
               "vzeroupper"
               : "+r"(iterations)
               :
               : "cc" OCTET_TIMES_16(OCTET_REGISTER));
}

}  // namespace

extern const Peaks peaks_avx512vnni;
const Peaks peaks_avx512vnni = {.isa = "avx512vnni", .s8 = {"vpdpbusd zmm", 12 * 64 * 2.0, multiply_s8}};

}  // namespace octet::kernels::limits
