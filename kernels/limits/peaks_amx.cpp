// AMX: a tile instruction multiplies 16 rows of 64 bytes by 64 rows of 16 columns. It takes 52 cycles and one can start
// every 16, so four sums under way would do; here six.
#include "kernels/cpu/amx.h"
#include "kernels/limits/peaks.h"

namespace octet::kernels::limits {
namespace {

constexpr int kSums = 6;
#define OCTET_TILE_DOT(sum) "tdpbssd %%tmm7, %%tmm6, %%tmm" #sum "\n\t"

void multiply_s8(std::int64_t iterations) {
  amx::configure(16);  // which zeroes the tiles
  asm volatile("1:\n\t" OCTET_TILE_DOT(0) OCTET_TILE_DOT(1) OCTET_TILE_DOT(2) OCTET_TILE_DOT(3) OCTET_TILE_DOT(4)
                   OCTET_TILE_DOT(5) "dec %0\n\t"
               "jnz 1b"
               : "+r"(iterations)
               :
               : "cc");
  amx::release();
}

}  // namespace

extern const Peaks peaks_amx;
const Peaks peaks_amx = {.isa = "amx", .s8 = {"tdpbssd", kSums * 16.0 * 16 * 64 * 2, multiply_s8}};

}  // namespace octet::kernels::limits
