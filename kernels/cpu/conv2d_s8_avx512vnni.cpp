// conv2d_s8_avx512vnni: direct convolution on vpdpbusd, which multiplies unsigned inputs with signed weights, four at a
// time, and adds them to 32-bit sums without saturating (rule 5 forbids vpdpbusds).
//
// Signed inputs that may be negative are flipped to q + 128 as they are broadcast, and 128 * sum(w) is taken off again
// where the sums start; inputs behind a ReLU need neither. The head of the packed weights holds that compensation.
#include "kernels/cpu/avx512vnni.h"

namespace octet::kernels {
namespace {

using avx512vnni::flips;
using avx512vnni::Traits;

void pack(const StepArgs& args, const void* weights, void* packed) {
  (flips(args) ? direct::pack<Traits<true>> : direct::pack<Traits<false>>)(args, weights, packed);
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  (flips(args) ? direct::run<Traits<true>> : direct::run<Traits<false>>)(args, first, last, scratch);
}

}  // namespace

extern const Kernel conv2d_s8_avx512vnni;
const Kernel conv2d_s8_avx512vnni = {
    .op = "conv2d_s8",
    .isa = "avx512vnni",
    .refuse = direct::refuse,
    .tiles = direct::tiles<Traits<false>>,
    .run = run,
    .packed_bytes = direct::packed_bytes<Traits<false>>,
    .pack = pack,
    .reads_halo = true,
    .fuses_max_pool = true,
    .tile = direct::tile<Traits<false>>,
};

}  // namespace octet::kernels
