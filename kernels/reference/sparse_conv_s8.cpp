// sparse_conv_s8_reference: the definition of an integer sparse convolution; see sparse_convolve.h.
#include "kernels/reference/sparse_convolve.h"

namespace octet::kernels {

extern const Kernel sparse_conv_s8_reference;
const Kernel sparse_conv_s8_reference = {
    .op = "sparse_conv_s8",
    .isa = "reference",
    .refuse = accept,
    .tiles = reference::sparse_rows,
    .run = reference::sparse_convolve<reference::SparseIntegers>,
    .packed_bytes = reference::plain_bytes<std::int8_t, reference::sparse_weight_count>,
    .pack = reference::plain_pack<std::int8_t, reference::sparse_weight_count>,
};

}  // namespace octet::kernels
