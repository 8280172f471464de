// Plain loads: what any processor is measured with when it has none of the instruction sets that have a file here.
#include "kernels/limits/peaks.h"

namespace octet::kernels::limits {
namespace {

void read(const void* data, std::size_t bytes) {
  const auto* word = static_cast<const std::uint64_t*>(data);
  const auto* const end = word + bytes / sizeof *word;
  std::uint64_t sum[4] = {};
  for (; word != end; word += 4) {
    for (int i = 0; i < 4; ++i) sum[i] += word[i];
  }
  // Somebody has to want the sum, or the loop disappears.
  asm volatile("" ::"r"(sum[0] + sum[1] + sum[2] + sum[3]));
}

}  // namespace

extern const Peaks peaks_portable;
const Peaks peaks_portable = {.isa = "portable", .read = read};

}  // namespace octet::kernels::limits
