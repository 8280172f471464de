// conv2d_s8_neon_dotprod: direct convolution on sdot, four products a 32-bit sum.
#include "kernels/cpu/neon_dotprod.h"

namespace octet::kernels {
namespace {

using neon::DotTraits;

void pack(const StepArgs& args, const void* weights, void* packed) {
  (neon::flips(args) ? direct::pack<DotTraits<true>> : direct::pack<DotTraits<false>>)(args, weights, packed);
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  (neon::flips(args) ? direct::run<DotTraits<true>> : direct::run<DotTraits<false>>)(args, first, last, scratch);
}

}  // namespace

extern const Kernel conv2d_s8_neon_dotprod;
const Kernel conv2d_s8_neon_dotprod = {
    .op = "conv2d_s8",
    .isa = "neon_dotprod",
    .refuse = direct::refuse,
    .tiles = direct::tiles<DotTraits<false>>,
    .run = run,
    .packed_bytes = direct::packed_bytes<DotTraits<false>>,
    .pack = pack,
    .reads_halo = true,
    .fuses_max_pool = true,
};

}  // namespace octet::kernels
