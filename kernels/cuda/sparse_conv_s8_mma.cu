// sparse_conv_s8_mma: sparse convolutions over 8-bit integers on a warp's matrix instructions; see gemm_sparse.cuh.
#include "kernels/cuda/gemm_sparse.h"

namespace octet::kernels::cuda {

extern const Kernel sparse_conv_s8_mma;
const Kernel sparse_conv_s8_mma = {
    .op = "sparse_conv_s8",
    .name = "mma",
    .refuse = sparse_host::refuse,
    .launch = sparse_host::launch,
    .configure = sparse_host::configure,
    .describe = sparse_host::describe,
    .configurations = sparse_host::kTiles,
    .packed_bytes = sparse_host::packed_bytes,
    .pack = sparse_host::pack,
};

}  // namespace octet::kernels::cuda
