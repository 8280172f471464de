// The reference keeps weights exactly as PyTorch orders them.
#pragma once

#include <cstring>

#include "kernels/kernel.h"

namespace octet::kernels::reference {

// The number of weights of a convolution, [O, C/groups, kh, kw]; a linear layer is a 1x1 window over all its features.
[[maybe_unused]] static std::size_t weight_count(const StepArgs& args) {
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const std::size_t taps = static_cast<std::size_t>(p.window.kernel_h) * p.window.kernel_w;
  return static_cast<std::size_t>(args.output.c) * (args.inputs[0].c / p.groups) * taps;
}

[[maybe_unused]] static std::size_t linear_weight_count(const StepArgs& args) {
  const View& in = args.inputs[0];
  return static_cast<std::size_t>(args.output.c) * in.h * in.w * in.c;
}

template <class T, std::size_t (*count)(const StepArgs&)>
static std::size_t plain_bytes(const StepArgs& args) {
  return count(args) * sizeof(T);
}

template <class T, std::size_t (*count)(const StepArgs&)>
static void plain_pack(const StepArgs& args, const void* weights, void* packed) {
  std::memcpy(packed, weights, count(args) * sizeof(T));
}

}  // namespace octet::kernels::reference
