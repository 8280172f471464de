// Planning and launching of gemm_sparse.cuh; sparse_conv_s8_mma and sparse_conv_s16_mma are its two rows of
// variants.def. A configuration is a tile shape.
#pragma once

#include "kernels/cuda/kernel.h"

namespace octet::kernels::cuda::sparse_host {

constexpr int kTiles = 5;

const char* refuse(const StepArgs& args, const Gpu& gpu);
int launch(const StepArgs& args, const Launch& launch);
int configure(const StepArgs& args, const Gpu& gpu);
const char* describe(int config);
std::size_t packed_bytes(const StepArgs& args, int config);
void pack(const StepArgs& args, int config, const void* weights, void* packed);

}  // namespace octet::kernels::cuda::sparse_host
