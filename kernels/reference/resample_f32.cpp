// resample_f32_reference: resample_s8 of floats; what lies outside of the input is 0.
#include "kernels/reference/resample.h"

namespace octet::kernels {

extern const Kernel resample_f32_reference;
const Kernel resample_f32_reference = {.op = "resample_f32",
                                       .isa = "reference",
                                       .refuse = accept,
                                       .tiles = reference::rows,
                                       .run = reference::resample<float>};

}  // namespace octet::kernels
