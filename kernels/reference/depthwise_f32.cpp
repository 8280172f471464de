// depthwise_f32_reference: a float depthwise convolution with double sums.
#include "kernels/reference/convolve.h"

namespace octet::kernels {

extern const Kernel depthwise_f32_reference;
const Kernel depthwise_f32_reference = {
    .op = "depthwise_f32",
    .isa = "reference",
    .refuse = accept,
    .tiles = reference::rows,
    .run = reference::convolve<reference::Reals>,
    .packed_bytes = reference::plain_bytes<float, reference::weight_count>,
    .pack = reference::plain_pack<float, reference::weight_count>,
};

}  // namespace octet::kernels
