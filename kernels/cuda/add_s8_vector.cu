// add_s8_vector: rule 11 for two inputs, four channels a thread.
#include "kernels/cuda/vector.cuh"

namespace octet::kernels::cuda {
namespace {

constexpr int kBlock = 256;

template <bool first_unsigned, bool second_unsigned>
__global__ void __launch_bounds__(kBlock) add(View a, View b, View out, AddParams p) {
  const int words = words_of(out.c);
  const int index = static_cast<int>(blockIdx.x) * kBlock + static_cast<int>(threadIdx.x);
  if (index >= words * out.w * out.h) return;
  const int c = index % words * 4, rest = index / words;
  const int x = rest % out.w, y = rest / out.w, n = static_cast<int>(blockIdx.y);
  const std::uint32_t from_a = *reinterpret_cast<const std::uint32_t*>(a.at<std::uint8_t>(n, y, x, c));
  const std::uint32_t from_b = *reinterpret_cast<const std::uint32_t*>(b.at<std::uint8_t>(n, y, x, c));
  const float lo = static_cast<float>(p.lo - p.zero_out), hi = static_cast<float>(p.hi - p.zero_out);
  std::uint32_t bytes[4];
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const float first = static_cast<float>(byte_of<first_unsigned>(from_a, k) - p.zero_in[0]) * p.multiplier[0];
    const float second = static_cast<float>(byte_of<second_unsigned>(from_b, k) - p.zero_in[1]) * p.multiplier[1];
    bytes[k] = round_to_byte(first + second, lo, hi, p.zero_out);
  }
  store_word(out, n, y, x, c, pack4(bytes[0], bytes[1], bytes[2], bytes[3]));
}

const char* refuse(const StepArgs& args, const Gpu&) {
  if (args.input_count != 2) return "two inputs only";
  const bool words = in_words(args.inputs[0]) && in_words(args.inputs[1]) && in_words(args.output);
  return words ? nullptr : "its pixels do not start at words";
}

int launch(const StepArgs& args, const Launch& launch) {
  const auto& p = *static_cast<const AddParams*>(args.params);
  const View &a = args.inputs[0], &b = args.inputs[1], &out = args.output;
  const std::int64_t threads = std::int64_t{words_of(out.c)} * out.w * out.h;
  if (threads >= INT32_MAX - kBlock || out.n > 65535) return cudaErrorInvalidConfiguration;
  const dim3 blocks(static_cast<unsigned>((threads + kBlock - 1) / kBlock), static_cast<unsigned>(out.n));
  const bool first = a.type == DType::u8, second = b.type == DType::u8;
  if (first && second) add<true, true><<<blocks, kBlock, 0, launch.stream>>>(a, b, out, p);
  if (first && !second) add<true, false><<<blocks, kBlock, 0, launch.stream>>>(a, b, out, p);
  if (!first && second) add<false, true><<<blocks, kBlock, 0, launch.stream>>>(a, b, out, p);
  if (!first && !second) add<false, false><<<blocks, kBlock, 0, launch.stream>>>(a, b, out, p);
  return cudaGetLastError();
}

}  // namespace

extern const Kernel add_s8_vector;
const Kernel add_s8_vector = {.op = "add_s8", .name = "vector", .refuse = refuse, .launch = launch};

}  // namespace octet::kernels::cuda
