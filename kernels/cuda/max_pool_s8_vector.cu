// max_pool_s8_vector: the largest byte of each window, padding left out, sixteen channels a thread.
#include "kernels/cuda/vector.cuh"

namespace octet::kernels::cuda {
namespace {

constexpr int kBlock = 128;

template <bool is_unsigned>
__device__ std::uint32_t larger(std::uint32_t a, std::uint32_t b) {
  return is_unsigned ? __vmaxu4(a, b) : __vmaxs4(a, b);
}

template <bool is_unsigned>
__global__ void __launch_bounds__(kBlock) pool(View in, View out, Window window) {
  begin();
  const int vectors = vectors_of(out.c);
  const int index = static_cast<int>(blockIdx.x) * kBlock + static_cast<int>(threadIdx.x);
  if (index >= vectors * out.w * out.h) return;
  const int c = index % vectors * 16, rest = index / vectors;
  const int ox = rest % out.w, oy = rest / out.w, n = static_cast<int>(blockIdx.y);
  const std::uint32_t least = is_unsigned ? 0 : 0x80808080u;
  uint4 best = {least, least, least, least};
  for_window(in, window, oy, ox, [&](int y, int x) {
    const uint4 from = *reinterpret_cast<const uint4*>(in.at<std::uint8_t>(n, y, x, c));
    best = {larger<is_unsigned>(best.x, from.x), larger<is_unsigned>(best.y, from.y),
            larger<is_unsigned>(best.z, from.z), larger<is_unsigned>(best.w, from.w)};
  });
  store_vector(out, n, oy, ox, c, best);
}

const char* refuse(const StepArgs& args, const Gpu&) {
  const bool vectors = in_vectors(args.inputs[0]) && in_vectors(args.output);
  return vectors ? nullptr : "its pixels do not start at multiples of 16 bytes";
}

int launch(const StepArgs& args, const Launch& launch) {
  const Window& window = static_cast<const PoolParams*>(args.params)->window;
  const View &in = args.inputs[0], &out = args.output;
  const std::int64_t threads = std::int64_t{vectors_of(out.c)} * out.w * out.h;
  if (threads >= INT32_MAX - kBlock || out.n > 65535) return cudaErrorInvalidConfiguration;
  const dim3 blocks(static_cast<unsigned>((threads + kBlock - 1) / kBlock), static_cast<unsigned>(out.n));
  return start(in.type == DType::u8 ? pool<true> : pool<false>, blocks, kBlock, launch, in, out, window);
}

}  // namespace

extern const Kernel max_pool_s8_vector;
const Kernel max_pool_s8_vector = {.op = "max_pool_s8", .name = "vector", .refuse = refuse, .launch = launch};

}  // namespace octet::kernels::cuda
