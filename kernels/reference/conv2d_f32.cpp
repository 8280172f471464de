// conv2d_f32_reference: a float convolution with double sums; see convolve.h.
#include "kernels/reference/convolve.h"

namespace octet::kernels {

extern const Kernel conv2d_f32_reference;
const Kernel conv2d_f32_reference = {
    .op = "conv2d_f32",
    .isa = "reference",
    .refuse = accept,
    .tiles = reference::rows,
    .run = reference::convolve<reference::Reals>,
    .packed_bytes = reference::plain_bytes<float, reference::weight_count>,
    .pack = reference::plain_pack<float, reference::weight_count>,
};

}  // namespace octet::kernels
