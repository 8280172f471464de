// lookup_s8_reference: the bytes of a photo to 8 bits (rule 2 for each of the 256 bytes, made at planning).
#include "kernels/reference/lookup.h"

namespace octet::kernels {

extern const Kernel lookup_s8_reference;
const Kernel lookup_s8_reference = {.op = "lookup_s8",
                                    .isa = "reference",
                                    .refuse = accept,
                                    .tiles = reference::rows,
                                    .run = reference::lookup<std::uint8_t>};

}  // namespace octet::kernels
