// to_dense_s8_portable: see scatter.h.
#include "kernels/cpu/scatter.h"

namespace octet::kernels {

extern const Kernel to_dense_s8_portable;
const Kernel to_dense_s8_portable = {
    .op = "to_dense_s8",
    .isa = "portable",
    .refuse = scatter::refuse,
    .tiles = scatter::tiles,
    .run = scatter::run<std::uint8_t>,
};

}  // namespace octet::kernels
