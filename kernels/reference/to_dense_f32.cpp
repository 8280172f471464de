// to_dense_f32_reference: see scatter.h.
#include "kernels/reference/access.h"
#include "kernels/reference/scatter.h"

namespace octet::kernels {

extern const Kernel to_dense_f32_reference;
const Kernel to_dense_f32_reference = {
    .op = "to_dense_f32",
    .isa = "reference",
    .refuse = accept,
    .tiles = reference::rows,
    .run = reference::scatter<float>,
};

}  // namespace octet::kernels
