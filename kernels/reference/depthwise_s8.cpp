// depthwise_s8_reference: an integer convolution whose output channel c sees input channel c alone.
#include "kernels/reference/convolve.h"

namespace octet::kernels {

extern const Kernel depthwise_s8_reference;
const Kernel depthwise_s8_reference = {
    .op = "depthwise_s8",
    .isa = "reference",
    .refuse = accept,
    .tiles = reference::rows,
    .run = reference::convolve<reference::Integers>,
    .packed_bytes = reference::plain_bytes<std::int8_t, reference::weight_count>,
    .pack = reference::plain_pack<std::int8_t, reference::weight_count>,
};

}  // namespace octet::kernels
