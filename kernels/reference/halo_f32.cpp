// halo_f32_reference: see halo.h.
#include "kernels/reference/halo.h"

namespace octet::kernels {

extern const Kernel halo_f32_reference;
const Kernel halo_f32_reference = {.op = "halo_f32",
                                   .isa = "reference",
                                   .refuse = accept,
                                   .tiles = reference::images,
                                   .run = reference::fill_halo<float>};

}  // namespace octet::kernels
