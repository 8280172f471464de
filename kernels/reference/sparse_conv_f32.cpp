// sparse_conv_f32_reference: the definition of a float sparse convolution; see sparse_convolve.h.
#include "kernels/reference/sparse_convolve.h"

namespace octet::kernels {

extern const Kernel sparse_conv_f32_reference;
const Kernel sparse_conv_f32_reference = {
    .op = "sparse_conv_f32",
    .isa = "reference",
    .refuse = accept,
    .tiles = reference::sparse_rows,
    .run = reference::sparse_convolve<reference::SparseReals>,
    .packed_bytes = reference::plain_bytes<float, reference::sparse_weight_count>,
    .pack = reference::plain_pack<float, reference::sparse_weight_count>,
};

}  // namespace octet::kernels
