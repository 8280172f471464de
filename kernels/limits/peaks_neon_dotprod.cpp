// The dot-product extension: sdot adds four products to each of four sums.
#include "kernels/limits/peaks.h"

namespace octet::kernels::limits {
namespace {

#define OCTET_REGISTER(n) , "v" #n
#define OCTET_ZERO(n) "movi v" #n ".4s, #0\n\t"
#define OCTET_MULTIPLY(sum) "sdot v" #sum ".4s, v30.16b, v31.16b\n\t"

void multiply_s8(std::int64_t iterations) {
  asm volatile(".arch armv8.2-a+dotprod\n\t" OCTET_TIMES_16(OCTET_ZERO) OCTET_ZERO(30) OCTET_ZERO(31)
               "1:\n\t" OCTET_TIMES_16(OCTET_MULTIPLY) "subs %0, %0, #1\n\t"
               "b.ne 1b"
               : "+r"(iterations)
               :
               : "cc" OCTET_TIMES_16(OCTET_REGISTER), "v30", "v31");
}

}  // namespace

extern const Peaks peaks_neon_dotprod;
const Peaks peaks_neon_dotprod = {.isa = "neon_dotprod", .s8 = {"sdot", 16 * 16 * 2.0, multiply_s8}};

}  // namespace octet::kernels::limits
