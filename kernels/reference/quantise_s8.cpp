// quantise_s8_reference: rule 2; see quantise.h.
#include "kernels/reference/quantise.h"

namespace octet::kernels {

extern const Kernel quantise_s8_reference;
const Kernel quantise_s8_reference = {.op = "quantise_s8",
                                      .isa = "reference",
                                      .refuse = accept,
                                      .tiles = reference::rows,
                                      .run = reference::quantise<reference::store8>};

}  // namespace octet::kernels
