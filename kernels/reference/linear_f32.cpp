// linear_f32_reference: a float fully connected layer with double sums.
#include "kernels/reference/convolve.h"

namespace octet::kernels {

extern const Kernel linear_f32_reference;
const Kernel linear_f32_reference = {
    .op = "linear_f32",
    .isa = "reference",
    .refuse = accept,
    .tiles = reference::images,
    .run = reference::multiply<reference::Reals>,
    .packed_bytes = reference::plain_bytes<float, reference::linear_weight_count>,
    .pack = reference::plain_pack<float, reference::linear_weight_count>,
};

}  // namespace octet::kernels
