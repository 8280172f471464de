// sparse_conv_f32_direct: the definition of a sparse convolution over floats, one thread per output element.
//
// Packed weights: [taps * C][O], so that neighbouring threads (output channels) read neighbouring weights.
#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {
namespace {

struct Convolve {
  View in, map, out;
  ConvParams p;
  const std::int32_t* rows;
  __device__ void operator()(int, int, int row, int oc) const {
    if (rows != nullptr && row >= *rows) return;
    float sum = p.bias[oc];
    for (int tap = 0; tap < p.taps; ++tap) {
      const int from = *map.at<std::int32_t>(0, 0, row, tap);
      if (from < 0) continue;
      const float* weight = static_cast<const float*>(p.weights) + static_cast<std::int64_t>(tap) * in.c * out.c + oc;
      const float* x = in.at<float>(0, 0, from);
      for (int c = 0; c < in.c; ++c, weight += out.c) sum += x[c] * *weight;
    }
    *out.at<float>(0, 0, row, oc) = arithmetic::clamp_real(sum, p.lo, p.hi);
  }
};

int launch(const StepArgs& args, const Launch& launch) {
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const View& map = args.inputs[args.input_count - 1];
  if (args.output.w == 0) return cudaSuccess;
  return launch_elementwise(args.output, Convolve{args.inputs[0], map, args.output, p, launch.rows}, launch);
}

std::int64_t weights_of(const StepArgs& args) {
  return std::int64_t{static_cast<const ConvParams*>(args.params)->taps} * args.inputs[0].c * args.output.c;
}

// From [O, taps, C].
void pack(const StepArgs& args, int, const void* weights, void* packed) {
  const std::int64_t outputs = args.output.c, each = weights_of(args) / outputs;
  for (std::int64_t o = 0; o < outputs; ++o) {
    for (std::int64_t i = 0; i < each; ++i)
      static_cast<float*>(packed)[i * outputs + o] = static_cast<const float*>(weights)[o * each + i];
  }
}

}  // namespace

extern const Kernel sparse_conv_f32_direct;
const Kernel sparse_conv_f32_direct = {
    .op = "sparse_conv_f32",
    .name = "direct",
    .refuse = accept,
    .launch = launch,
    .packed_bytes = [](const StepArgs& args,
                       int) { return static_cast<std::size_t>(weights_of(args)) * sizeof(float); },
    .pack = pack,
};

}  // namespace octet::kernels::cuda
