// linear_s8_wgmma: linear layers on Hopper's warpgroup instructions; see gemm_wgmma.cuh.
#include "kernels/cuda/gemm_wgmma.h"

namespace octet::kernels::cuda {

extern const Kernel linear_s8_wgmma;
const Kernel linear_s8_wgmma = {
    .op = "linear_s8",
    .name = "wgmma",
    .lowest_capability = 90,
    .highest_capability = 90,
    .refuse = [](const StepArgs& args, const Gpu&) { return wgmma_host::refuse(args, true); },
    .launch = [](const StepArgs& args, const Launch& launch) { return wgmma_host::launch(args, launch, true); },
    .configure = [](const StepArgs& args, const Gpu& gpu) { return wgmma_host::configure(args, gpu, true); },
    .describe = wgmma_host::describe,
    .configurations = wgmma_host::kTiles * wgmma_host::kModes,
    .allows = [](const StepArgs& args, const Gpu& gpu,
                 int config) { return wgmma_host::allows(args, gpu, config, true); },
    .packed_bytes = [](const StepArgs& args, int) { return wgmma_host::packed_bytes(args, true); },
    .pack = [](const StepArgs& args, int, const void* weights,
               void* packed) { wgmma_host::pack(args, weights, packed, true); },
};

}  // namespace octet::kernels::cuda
