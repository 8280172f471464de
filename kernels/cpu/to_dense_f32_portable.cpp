// to_dense_f32_portable: see scatter.h.
#include "kernels/cpu/scatter.h"

namespace octet::kernels {

extern const Kernel to_dense_f32_portable;
const Kernel to_dense_f32_portable = {
    .op = "to_dense_f32",
    .isa = "portable",
    .refuse = scatter::refuse,
    .tiles = scatter::tiles,
    .run = scatter::run<float>,
};

}  // namespace octet::kernels
