// avg_pool_s8_vector: rule 9, four channels a thread.
#include "kernels/cuda/vector.cuh"

namespace octet::kernels::cuda {
namespace {

constexpr int kBlock = 128;

template <bool is_unsigned>
__global__ void __launch_bounds__(kBlock) pool(View in, View out, PoolParams p) {
  begin();
  const int words = words_of(out.c);
  const int index = static_cast<int>(blockIdx.x) * kBlock + static_cast<int>(threadIdx.x);
  if (index >= words * out.w * out.h) return;
  const int c = index % words * 4, rest = index / words;
  const int ox = rest % out.w, oy = rest / out.w, n = static_cast<int>(blockIdx.y);
  const int count = window_count(in, p, oy, ox);
  std::int32_t sums[4] = {};
  std::int32_t visited = 0;
  for_window(in, p.window, oy, ox, [&](int y, int x) {
    const std::uint32_t word = *reinterpret_cast<const std::uint32_t*>(in.at<std::uint8_t>(n, y, x, c));
#pragma unroll
    for (int k = 0; k < 4; ++k) sums[k] += byte_of<is_unsigned>(word, k);
    ++visited;
  });
  const float m = p.multiplier[count - 1];
  const float lo = static_cast<float>(p.lo - p.zero_out), hi = static_cast<float>(p.hi - p.zero_out);
  std::uint32_t bytes[4];
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    bytes[k] = round_to_byte(static_cast<float>(sums[k] - visited * p.zero_in) * m, lo, hi, p.zero_out);
  }
  store_word(out, n, oy, ox, c, pack4(bytes[0], bytes[1], bytes[2], bytes[3]));
}

const char* refuse(const StepArgs& args, const Gpu&) {
  return in_words(args.inputs[0]) && in_words(args.output) ? nullptr : "its pixels do not start at words";
}

int launch(const StepArgs& args, const Launch& launch) {
  const auto& p = *static_cast<const PoolParams*>(args.params);
  const View &in = args.inputs[0], &out = args.output;
  const std::int64_t threads = std::int64_t{words_of(out.c)} * out.w * out.h;
  if (threads >= INT32_MAX - kBlock || out.n > 65535) return cudaErrorInvalidConfiguration;
  const dim3 blocks(static_cast<unsigned>((threads + kBlock - 1) / kBlock), static_cast<unsigned>(out.n));
  return start(in.type == DType::u8 ? pool<true> : pool<false>, blocks, kBlock, launch, in, out, p);
}

}  // namespace

extern const Kernel avg_pool_s8_vector;
const Kernel avg_pool_s8_vector = {.op = "avg_pool_s8", .name = "vector", .refuse = refuse, .launch = launch};

}  // namespace octet::kernels::cuda
