// halo_s8_portable: see halo.h.
#include "kernels/cpu/halo.h"

namespace octet::kernels {

extern const Kernel halo_s8_portable;
const Kernel halo_s8_portable = {
    .op = "halo_s8", .isa = "portable", .refuse = accept, .tiles = halo::images, .run = halo::run<1>};

}  // namespace octet::kernels
