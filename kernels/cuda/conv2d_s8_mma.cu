// conv2d_s8_mma: convolutions (one group) on a warp's matrix instructions; see gemm_mma.cuh.
#include "kernels/cuda/gemm_mma.h"

namespace octet::kernels::cuda {

extern const Kernel conv2d_s8_mma;
const Kernel conv2d_s8_mma = {
    .op = "conv2d_s8",
    .name = "mma",
    .refuse = [](const StepArgs& args, const Gpu&) { return mma_host::refuse(args, false); },
    .launch = [](const StepArgs& args, const Launch& launch) { return mma_host::launch(args, launch, false); },
    .configure = [](const StepArgs& args, const Gpu& gpu) { return mma_host::configure(args, gpu, false); },
    .describe = mma_host::describe,
    .configurations = mma_host::kTiles,
    .packed_bytes = [](const StepArgs& args, int config) { return mma_host::packed_bytes(args, config, false); },
    .pack = [](const StepArgs& args, int config, const void* weights,
               void* packed) { mma_host::pack(args, config, weights, packed, false); },
    .fuses_max_pool = true,
};

}  // namespace octet::kernels::cuda
