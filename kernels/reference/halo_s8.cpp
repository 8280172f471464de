// halo_s8_reference: see halo.h.
#include "kernels/reference/halo.h"

namespace octet::kernels {

extern const Kernel halo_s8_reference;
const Kernel halo_s8_reference = {.op = "halo_s8",
                                  .isa = "reference",
                                  .refuse = accept,
                                  .tiles = reference::images,
                                  .run = reference::fill_halo<std::uint8_t>};

}  // namespace octet::kernels
