// max_pool_f32_portable: see max_pool_portable.h.
#include "kernels/cpu/max_pool_portable.h"

namespace octet::kernels {

extern const Kernel max_pool_f32_portable;
const Kernel max_pool_f32_portable = {.op = "max_pool_f32",
                                      .isa = "portable",
                                      .refuse = accept,
                                      .tiles = portable::rows,
                                      .run = portable::max_pool<float>};

}  // namespace octet::kernels
