// sparse_conv_s16_portable: the wide first layer in plain loops.
#include "kernels/cpu/sparse_conv_portable.h"

namespace octet::kernels {
namespace {

using Traits = sparse::PlainIntegers<std::int16_t>;

}  // namespace

extern const Kernel sparse_conv_s16_portable;
const Kernel sparse_conv_s16_portable = {
    .op = "sparse_conv_s16",
    .isa = "portable",
    .refuse = accept,
    .tiles = sparse::tiles,
    .run = sparse::run<Traits>,
    .packed_bytes = sparse::packed_bytes<Traits>,
    .pack = sparse::pack<Traits>,
    .scratch_bytes = sparse::scratch_bytes<Traits>,
};

}  // namespace octet::kernels
