// From a QGraph node to the constants its kernel runs with: the contract's rules 4, 6, 8, 9, 10, 11 are applied here.
#pragma once

#include <memory>
#include <vector>

#include "kernels/kernel.h"
#include "kernels/plan/plan.h"

namespace octet::kernels {

// The params structs hold plain pointers; these own what they point to. A Step shares the owner.
struct ConvData {
  ConvParams params;
  std::vector<std::int32_t> bias;
  std::vector<float> multiplier;
  Tensor bias_real;
  Tensor packed;
};
struct PoolData {
  PoolParams params;
  std::vector<float> multiplier;
};
struct AffineData {
  AffineParams params;
  Tensor scale, shift;
};
struct LookupData {
  LookupParams params;
  Tensor table;
  std::int32_t lowest = 255, highest = -128;  // entries of an 8-bit table
};

// Arrays of one value a channel (bias, multiplier) are padded with zeros to whole vectors of any instruction set.
inline std::size_t padded_channels(std::int64_t channels) {
  return static_cast<std::size_t>((channels + 63) / 64 * 64);
}

// conv2d and linear, INT8 and fp32. The weights are packed later, by the chosen kernel.
std::shared_ptr<ConvData> conv_data(const QGraph& graph, const QNode& node);
// max_pool, avg_pool and global_avg_pool over an input of in_h x in_w.
std::shared_ptr<PoolData> pool_data(const QGraph& graph, const QNode& node, int in_h, int in_w);
std::shared_ptr<AddParams> add_params(const QGraph& graph, const QNode& node);
// A copy from one edge to another of different step or zero point (rule 10).
std::shared_ptr<AddParams> copy_params(const QEdge& from, const QEdge& to);
// batch_norm, relu and relu6 in fp32.
std::shared_ptr<AffineData> affine_data(const QNode& node);
std::shared_ptr<QuantiseParams> quantise_params(const QGraph& graph, const QEdge& edge);
// A photo's bytes to `edge`: 8 bits when it is quantised, f32 otherwise.
std::shared_ptr<LookupData> lookup_data(const QGraph& graph, const QEdge& edge, const PlanOptions::Photo& photo);

// A function of one value; INT8 takes the node's table.
struct FunctionData {
  FunctionParams params;
  Tensor table;
};
std::shared_ptr<FunctionData> function_data(const QNode& node);

// The weights of a linear layer over a [c, h, w] activation, columns re-ordered from PyTorch's (c, h, w) to (h, w, c).
Tensor columns_to_nhwc(const Tensor& weight, int c, int h, int w);

}  // namespace octet::kernels
