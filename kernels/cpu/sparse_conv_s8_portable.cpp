// sparse_conv_s8_portable: plain loops over 16-bit products.
#include "kernels/cpu/sparse_conv_portable.h"

namespace octet::kernels {
namespace {

using Signed = sparse::PlainIntegers<std::int8_t>;
using Unsigned = sparse::PlainIntegers<std::uint8_t>;

// (Both pack alike and need the same scratch memory.)
void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  (args.inputs[0].type == DType::u8 ? sparse::run<Unsigned> : sparse::run<Signed>)(args, first, last, scratch);
}

}  // namespace

extern const Kernel sparse_conv_s8_portable;
const Kernel sparse_conv_s8_portable = {
    .op = "sparse_conv_s8",
    .isa = "portable",
    .refuse = accept,
    .tiles = sparse::tiles,
    .run = run,
    .packed_bytes = sparse::packed_bytes<Signed>,
    .pack = sparse::pack<Signed>,
    .scratch_bytes = sparse::scratch_bytes<Signed>,
};

}  // namespace octet::kernels
