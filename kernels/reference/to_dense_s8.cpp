// to_dense_s8_reference: see scatter.h.
#include "kernels/reference/access.h"
#include "kernels/reference/scatter.h"

namespace octet::kernels {

extern const Kernel to_dense_s8_reference;
const Kernel to_dense_s8_reference = {
    .op = "to_dense_s8",
    .isa = "reference",
    .refuse = accept,
    .tiles = reference::rows,
    .run = reference::scatter<std::uint8_t>,
};

}  // namespace octet::kernels
