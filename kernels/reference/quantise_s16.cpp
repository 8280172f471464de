// quantise_s16_reference: rule 2 for a wide edge (QuantParams::kWide); see quantise.h.
#include "kernels/reference/quantise.h"

namespace octet::kernels {

extern const Kernel quantise_s16_reference;
const Kernel quantise_s16_reference = {.op = "quantise_s16",
                                       .isa = "reference",
                                       .refuse = accept,
                                       .tiles = reference::rows,
                                       .run = reference::quantise<reference::store16>};

}  // namespace octet::kernels
