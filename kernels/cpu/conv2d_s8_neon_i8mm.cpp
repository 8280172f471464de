// conv2d_s8_neon_i8mm: direct convolution on smmla and, for u8 inputs, usmmla: two pixels x two channels a vector.
#include "kernels/cpu/neon_i8mm.h"

namespace octet::kernels {
namespace {

using neon::MatrixTraits;

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  (neon::is_unsigned(args) ? direct::run<MatrixTraits<true>> : direct::run<MatrixTraits<false>>)(args, first, last,
                                                                                                 scratch);
}

}  // namespace

extern const Kernel conv2d_s8_neon_i8mm;
const Kernel conv2d_s8_neon_i8mm = {
    .op = "conv2d_s8",
    .isa = "neon_i8mm",
    .refuse = direct::refuse,
    .tiles = direct::tiles<MatrixTraits<false>>,
    .run = run,
    .packed_bytes = direct::packed_bytes<MatrixTraits<false>>,
    .pack = direct::pack<MatrixTraits<false>>,
    .reads_halo = true,
    .fuses_max_pool = true,
};

}  // namespace octet::kernels
