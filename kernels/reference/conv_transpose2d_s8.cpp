// conv_transpose2d_s8_reference: the definition of a transposed convolution; see convolve.h. Planning splits one into
// ordinary convolutions (plan/planner_transpose.cpp), so this runs where that does not work, and where it is asked for.
#include "kernels/reference/convolve.h"

namespace octet::kernels {

extern const Kernel conv_transpose2d_s8_reference;
const Kernel conv_transpose2d_s8_reference = {
    .op = "conv_transpose2d_s8",
    .isa = "reference",
    .refuse = accept,
    .tiles = reference::rows,
    .run = reference::convolve<reference::Integers, true>,
    .packed_bytes = reference::plain_bytes<std::int8_t, reference::weight_count>,
    .pack = reference::plain_pack<std::int8_t, reference::weight_count>,
};

}  // namespace octet::kernels
