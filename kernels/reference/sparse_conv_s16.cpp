// sparse_conv_s16_reference: the definition of a sparse convolution over wide integers (s16 in, 8 bits out); see
// sparse_convolve.h.
#include "kernels/reference/sparse_convolve.h"

namespace octet::kernels {

extern const Kernel sparse_conv_s16_reference;
const Kernel sparse_conv_s16_reference = {
    .op = "sparse_conv_s16",
    .isa = "reference",
    .refuse = accept,
    .tiles = reference::sparse_rows,
    .run = reference::sparse_convolve<reference::SparseWide>,
    .packed_bytes = reference::plain_bytes<std::int8_t, reference::sparse_weight_count>,
    .pack = reference::plain_pack<std::int8_t, reference::sparse_weight_count>,
};

}  // namespace octet::kernels
