// Planning and launching of gemm_mma.cuh; conv2d_s8_mma and linear_s8_mma are its two rows of variants.def. `linear` as
// in Convolution (convolution.h). A configuration is a tile shape.
#pragma once

#include "kernels/cuda/kernel.h"

namespace octet::kernels::cuda::mma_host {

constexpr int kTiles = 5;

const char* refuse(const StepArgs& args, bool linear);
int launch(const StepArgs& args, const Launch& launch, bool linear);
int configure(const StepArgs& args, const Gpu& gpu, bool linear);
const char* describe(int config);
std::size_t packed_bytes(const StepArgs& args, int config, bool linear);
void pack(const StepArgs& args, int config, const void* weights, void* packed, bool linear);

}  // namespace octet::kernels::cuda::mma_host
