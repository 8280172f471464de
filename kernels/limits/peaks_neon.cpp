// NEON: thirty-two registers of 16 bytes. A fused multiply-add takes four cycles; up to four start in each.
#include "kernels/limits/peaks.h"

namespace octet::kernels::limits {
namespace {

#define OCTET_REGISTER(n) , "v" #n
#define OCTET_ZERO(n) "movi v" #n ".4s, #0\n\t"
#define OCTET_MULTIPLY(sum) "fmla v" #sum ".4s, v30.4s, v31.4s\n\t"

void multiply_f32(std::int64_t iterations) {
  asm volatile(OCTET_TIMES_16(OCTET_ZERO) OCTET_ZERO(30) OCTET_ZERO(31)
               "1:\n\t" OCTET_TIMES_16(OCTET_MULTIPLY) "subs %0, %0, #1\n\t"
               "b.ne 1b"
               : "+r"(iterations)
               :
               : "cc" OCTET_TIMES_16(OCTET_REGISTER), "v30", "v31");
}

#define OCTET_LOAD(n) "ldr q" #n ", [%0, #16*" #n "]\n\t"

void read(const void* data, std::size_t bytes) {
  const auto* end = static_cast<const std::byte*>(data) + bytes;
  asm volatile("1:\n\t" OCTET_TIMES_8(OCTET_LOAD) "add %0, %0, #128\n\t"
               "cmp %0, %1\n\t"
               "b.ne 1b"
               : "+r"(data)
               : "r"(end)
               : "cc", "memory" OCTET_TIMES_16(OCTET_REGISTER));
}

}  // namespace

extern const Peaks peaks_neon;
const Peaks peaks_neon = {.isa = "neon", .f32 = {"fmla", 16 * 4 * 2.0, multiply_f32}, .read = read};

}  // namespace octet::kernels::limits
