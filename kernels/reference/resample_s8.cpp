// resample_s8_reference: bytes are moved, none is computed: each input pixel becomes factor_h x factor_w output pixels
// (nearest), and what lies outside of the input is the zero point. Upsampling and padding.
#include "kernels/reference/resample.h"

namespace octet::kernels {

extern const Kernel resample_s8_reference;
const Kernel resample_s8_reference = {.op = "resample_s8",
                                      .isa = "reference",
                                      .refuse = accept,
                                      .tiles = reference::rows,
                                      .run = reference::resample<std::uint8_t>};

}  // namespace octet::kernels
