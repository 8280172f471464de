// linear_s8_neon_dotprod: a fully connected layer on sdot.
#include "kernels/cpu/linear_direct.h"
#include "kernels/cpu/neon_dotprod.h"

namespace octet::kernels {
namespace {

using neon::DotTraits;

void pack(const StepArgs& args, const void* weights, void* packed) {
  (neon::flips(args) ? direct::linear_pack<DotTraits<true>> : direct::linear_pack<DotTraits<false>>)(args, weights,
                                                                                                     packed);
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  (neon::flips(args) ? direct::linear_run<DotTraits<true>> : direct::linear_run<DotTraits<false>>)(args, first, last,
                                                                                                   scratch);
}

}  // namespace

extern const Kernel linear_s8_neon_dotprod;
const Kernel linear_s8_neon_dotprod = {
    .op = "linear_s8",
    .isa = "neon_dotprod",
    .refuse = refuse_notebook,
    .tiles = direct::linear_tiles<DotTraits<false>>,
    .run = run,
    .packed_bytes = direct::linear_packed_bytes<DotTraits<false>>,
    .pack = pack,
    .scratch_bytes = direct::linear_scratch_bytes<DotTraits<false>>,
};

}  // namespace octet::kernels
