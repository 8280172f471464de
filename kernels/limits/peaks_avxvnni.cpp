// AVX-VNNI: vpdpbusd in its VEX encoding, for processors without AVX512.
#include "kernels/limits/peaks.h"

namespace octet::kernels::limits {
namespace {

#define OCTET_REGISTER(n) , "ymm" #n  // vzeroall and vzeroupper change them all

#define OCTET_DOT(sum) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" #sum "\n\t"

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

extern const Peaks peaks_avxvnni;
const Peaks peaks_avxvnni = {.isa = "avxvnni", .s8 = {"vpdpbusd ymm", 12 * 32 * 2.0, multiply_s8}};

}  // namespace octet::kernels::limits
