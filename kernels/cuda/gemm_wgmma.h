// Planning and launching of gemm_wgmma.cuh; conv2d_s8_wgmma and linear_s8_wgmma are its two rows of variants.def.
// `linear` as in Convolution (convolution.h). A configuration is a tile shape and what a cluster of blocks shares:
//
//     config = tile * kModes + mode
#pragma once

#include "kernels/cuda/kernel.h"

namespace octet::kernels::cuda::wgmma_host {

constexpr int kTiles = 6, kModes = 6;

const char* refuse(const StepArgs& args, bool linear);
int launch(const StepArgs& args, const Launch& launch, bool linear);
int configure(const StepArgs& args, const Gpu& gpu, bool linear);
bool allows(const StepArgs& args, const Gpu& gpu, int config, bool linear);
const char* describe(int config);
std::size_t packed_bytes(const StepArgs& args, bool linear);
void pack(const StepArgs& args, const void* weights, void* packed, bool linear);

// Estimated cycles of a configuration: what configure() minimises.
double estimate(const StepArgs& args, const Gpu& gpu, int config, bool linear);

}  // namespace octet::kernels::cuda::wgmma_host
