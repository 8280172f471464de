// lookup_f32_reference: the bytes of a photo to f32.
#include "kernels/reference/lookup.h"

namespace octet::kernels {

extern const Kernel lookup_f32_reference;
const Kernel lookup_f32_reference = {.op = "lookup_f32",
                                     .isa = "reference",
                                     .refuse = accept,
                                     .tiles = reference::rows,
                                     .run = reference::lookup<float>};

}  // namespace octet::kernels
