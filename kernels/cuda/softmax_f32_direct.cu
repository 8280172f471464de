// softmax_f32_direct: exp(x - max) / sum in double, over the channels of each pixel or over everything that an image
// holds (SoftmaxParams::whole_image). One block makes one of these groups.
#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {
namespace {

constexpr int kWarp = 32;

// Of all threads of the block, in one fixed order; `scratch` has room for a value a warp.
template <class Join>
__device__ double reduce(double value, double* scratch, Join join) {
  for (int step = kWarp / 2; step > 0; step /= 2) value = join(value, __shfl_xor_sync(0xFFFFFFFFu, value, step));
  __syncthreads();
  if (threadIdx.x % kWarp == 0) scratch[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = scratch[0];
  for (int warp = 1; warp < kThreads / kWarp; ++warp) value = join(value, scratch[warp]);
  return value;
}

__global__ void __launch_bounds__(kThreads) softmax(View in, View out, bool whole) {
  __shared__ double scratch[kThreads / kWarp];
  begin();
  const int n = static_cast<int>(blockIdx.y), pixel = static_cast<int>(blockIdx.x);
  const int count = whole ? out.h * out.w * out.c : out.c;
  const auto at = [&](const View& v, int i) {
    const int p = whole ? i / out.c : pixel;
    return v.at<float>(n, p / out.w, p % out.w, i % out.c);
  };
  double top = -INFINITY, sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
    const double value = *at(in, i);
    top = value > top ? value : top;
  }
  top = reduce(top, scratch, [](double a, double b) { return a > b ? a : b; });
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) sum += exp(*at(in, i) - top);
  sum = reduce(sum, scratch, [](double a, double b) { return a + b; });
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
    *at(out, i) = static_cast<float>(exp(*at(in, i) - top) / sum);
  }
}

int launch(const StepArgs& args, const Launch& launch) {
  const View& out = args.output;
  const bool whole = static_cast<const SoftmaxParams*>(args.params)->whole_image;
  if (std::int64_t{out.h} * out.w * out.c > INT32_MAX || out.n > 65535) return cudaErrorInvalidConfiguration;
  const dim3 blocks(whole ? 1u : static_cast<unsigned>(out.h * out.w), static_cast<unsigned>(out.n));
  return start(softmax, blocks, kThreads, launch, args.inputs[0], out, whole);
}

}  // namespace

extern const Kernel softmax_f32_direct;
const Kernel softmax_f32_direct = {.op = "softmax_f32", .name = "direct", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
