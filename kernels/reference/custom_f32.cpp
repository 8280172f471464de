// custom_f32_reference: a row of a user's own operation (runtime/custom_op.h) a tile.
#include "kernels/reference/custom.h"

namespace octet::kernels {

extern const Kernel custom_f32_reference;
const Kernel custom_f32_reference = {
    .op = "custom_f32", .isa = "reference", .refuse = accept, .tiles = reference::rows, .run = reference::run_custom};

}  // namespace octet::kernels
