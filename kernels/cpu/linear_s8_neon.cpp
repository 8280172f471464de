// linear_s8_neon: a fully connected layer on smull, smlal and sadalp.
#include "kernels/cpu/linear_direct.h"
#include "kernels/cpu/neon_smull.h"

namespace octet::kernels {
namespace {

using neon::SmullTraits;

void pack(const StepArgs& args, const void* weights, void* packed) {
  const direct::LinearAsConvolution conv(args);
  (neon::flips(args) ? neon::pack_pairs<true> : neon::pack_pairs<false>)(conv.args, weights, packed);
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  (neon::flips(args) ? direct::linear_run<SmullTraits<true>> : direct::linear_run<SmullTraits<false>>)(args, first,
                                                                                                       last, scratch);
}

}  // namespace

extern const Kernel linear_s8_neon;
const Kernel linear_s8_neon = {
    .op = "linear_s8",
    .isa = "neon",
    .refuse = refuse_notebook,
    .tiles = direct::linear_tiles<SmullTraits<false>>,
    .run = run,
    .packed_bytes = direct::linear_packed_bytes<SmullTraits<false>>,
    .pack = pack,
    .scratch_bytes = direct::linear_scratch_bytes<SmullTraits<false>>,
};

}  // namespace octet::kernels
