// conv2d_s8_neon: direct convolution on smull, smlal and sadalp, which every 64-bit ARM processor has.
#include "kernels/cpu/neon_smull.h"

namespace octet::kernels {
namespace {

using neon::SmullTraits;

void pack(const StepArgs& args, const void* weights, void* packed) {
  (neon::flips(args) ? neon::pack_pairs<true> : neon::pack_pairs<false>)(args, weights, packed);
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  (neon::flips(args) ? direct::run<SmullTraits<true>> : direct::run<SmullTraits<false>>)(args, first, last, scratch);
}

}  // namespace

extern const Kernel conv2d_s8_neon;
const Kernel conv2d_s8_neon = {
    .op = "conv2d_s8",
    .isa = "neon",
    .refuse = direct::refuse,
    .tiles = direct::tiles<SmullTraits<false>>,
    .run = run,
    .packed_bytes = direct::packed_bytes<SmullTraits<false>>,
    .pack = pack,
    .reads_halo = true,
    .fuses_max_pool = true,
};

}  // namespace octet::kernels
