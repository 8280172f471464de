// linear_s8_reference: an integer fully connected layer; see convolve.h.
#include "kernels/reference/convolve.h"

namespace octet::kernels {

extern const Kernel linear_s8_reference;
const Kernel linear_s8_reference = {
    .op = "linear_s8",
    .isa = "reference",
    .refuse = accept,
    .tiles = reference::images,
    .run = reference::multiply<reference::Integers>,
    .packed_bytes = reference::plain_bytes<std::int8_t, reference::linear_weight_count>,
    .pack = reference::plain_pack<std::int8_t, reference::linear_weight_count>,
};

}  // namespace octet::kernels
