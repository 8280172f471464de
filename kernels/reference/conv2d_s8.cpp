// conv2d_s8_reference: the definition of an integer convolution; see convolve.h.
#include "kernels/reference/convolve.h"

namespace octet::kernels {

extern const Kernel conv2d_s8_reference;
const Kernel conv2d_s8_reference = {
    .op = "conv2d_s8",
    .isa = "reference",
    .refuse = accept,
    .tiles = reference::rows,
    .run = reference::convolve<reference::Integers>,
    .packed_bytes = reference::plain_bytes<std::int8_t, reference::weight_count>,
    .pack = reference::plain_pack<std::int8_t, reference::weight_count>,
};

}  // namespace octet::kernels
