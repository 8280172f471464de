// AVX2: sixteen registers of 32 bytes.
#include "kernels/limits/peaks.h"

namespace octet::kernels::limits {
namespace {

#define OCTET_REGISTER(n) , "ymm" #n  // vzeroall and vzeroupper change them all

// A fused multiply-add takes four cycles and two can start in each: at least eight sums must be under way; here twelve.
#define OCTET_FMA(sum) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #sum "\n\t"

void multiply_f32(std::int64_t iterations) {
  asm volatile("vzeroall\n"
               "1:\n\t" OCTET_TIMES_12(OCTET_FMA) "dec %0\n\t"
               "jnz 1b\n\t"
               "vzeroupper"
               : "+r"(iterations)
               :
               : "cc" OCTET_TIMES_16(OCTET_REGISTER));
}

// Bytes to pairs of 16 bits, pairs to 32 bits, sum: three instructions for 32 products. All pairs go through ymm12: the
// processor renames it, so that they wait for nobody.
#define OCTET_MADDUBS(sum)                   \
  "vpmaddubsw %%ymm14, %%ymm15, %%ymm12\n\t" \
  "vpmaddwd %%ymm13, %%ymm12, %%ymm12\n\t"   \
  "vpaddd %%ymm12, %%ymm" #sum ", %%ymm" #sum "\n\t"

void multiply_s8(std::int64_t iterations) {
  asm volatile("vzeroall\n"
               "1:\n\t" OCTET_TIMES_8(OCTET_MADDUBS) "dec %0\n\t"
               "jnz 1b\n\t"
               "vzeroupper"
               : "+r"(iterations)
               :
               : "cc" OCTET_TIMES_16(OCTET_REGISTER));
}

#define OCTET_LOAD(n) "vmovdqa 32*" #n "(%0), %%ymm" #n "\n\t"

void read(const void* data, std::size_t bytes) {
  const auto* end = static_cast<const std::byte*>(data) + bytes;
  asm volatile("1:\n\t" OCTET_TIMES_8(OCTET_LOAD) "add $256, %0\n\t"
               "cmp %1, %0\n\t"
               "jne 1b\n\t"
               "vzeroupper"
               : "+r"(data)
               : "r"(end)
               : "cc", "memory" OCTET_TIMES_16(OCTET_REGISTER));
}

}  // namespace

extern const Peaks peaks_avx2;
const Peaks peaks_avx2 = {
    .isa = "avx2",
    .f32 = {"vfmadd231ps ymm", 12 * 8 * 2.0, multiply_f32},
    .s8 = {"vpmaddubsw + vpmaddwd + vpaddd ymm", 8 * 32 * 2.0, multiply_s8},
    .read = read,
};

}  // namespace octet::kernels::limits
