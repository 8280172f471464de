// halo_f32_portable: see halo.h.
#include "kernels/cpu/halo.h"

namespace octet::kernels {

extern const Kernel halo_f32_portable;
const Kernel halo_f32_portable = {
    .op = "halo_f32", .isa = "portable", .refuse = accept, .tiles = halo::images, .run = halo::run<4>};

}  // namespace octet::kernels
