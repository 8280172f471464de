// conv2d_s8_wgmma: convolutions (one group) on Hopper's warpgroup instructions; see gemm_wgmma.cuh.
#include "kernels/cuda/gemm_wgmma.h"

namespace octet::kernels::cuda {

extern const Kernel conv2d_s8_wgmma;
const Kernel conv2d_s8_wgmma = {
    .op = "conv2d_s8",
    .name = "wgmma",
    .lowest_capability = 90,
    .highest_capability = 90,
    .refuse = [](const StepArgs& args, const Gpu&) { return wgmma_host::refuse(args, false); },
    .launch = [](const StepArgs& args, const Launch& launch) { return wgmma_host::launch(args, launch, false); },
    .configure = [](const StepArgs& args, const Gpu& gpu) { return wgmma_host::configure(args, gpu, false); },
    .describe = wgmma_host::describe,
    .configurations = wgmma_host::kTiles * wgmma_host::kModes,
    .allows = [](const StepArgs& args, const Gpu& gpu,
                 int config) { return wgmma_host::allows(args, gpu, config, false); },
    .packed_bytes = [](const StepArgs& args, int) { return wgmma_host::packed_bytes(args, false); },
    .pack = [](const StepArgs& args, int, const void* weights,
               void* packed) { wgmma_host::pack(args, weights, packed, false); },
};

}  // namespace octet::kernels::cuda
