// linear_s8_neon_i8mm: a fully connected layer on smmla and usmmla, two images x two features a vector.
#include "kernels/cpu/linear_direct.h"
#include "kernels/cpu/neon_i8mm.h"

namespace octet::kernels {
namespace {

using neon::MatrixTraits;

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  (neon::is_unsigned(args) ? direct::linear_run<MatrixTraits<true>>
                           : direct::linear_run<MatrixTraits<false>>)(args, first, last, scratch);
}

}  // namespace

extern const Kernel linear_s8_neon_i8mm;
const Kernel linear_s8_neon_i8mm = {
    .op = "linear_s8",
    .isa = "neon_i8mm",
    .refuse = refuse_notebook,
    .tiles = direct::linear_tiles<MatrixTraits<false>>,
    .run = run,
    .packed_bytes = direct::linear_packed_bytes<MatrixTraits<false>>,
    .pack = direct::linear_pack<MatrixTraits<false>>,
    .scratch_bytes = direct::linear_scratch_bytes<MatrixTraits<false>>,
};

}  // namespace octet::kernels
