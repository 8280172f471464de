// add_s8_vector: rule 11 for two inputs, sixteen channels a thread.
#include "kernels/cuda/vector.cuh"

namespace octet::kernels::cuda {
namespace {

constexpr int kBlock = 256;

// Rule 11 lets fuse: both products are exact.
template <bool first_unsigned, bool second_unsigned>
__device__ std::uint32_t add_words(std::uint32_t a, std::uint32_t b, const AddParams& p) {
  const float lo = static_cast<float>(p.lo - p.zero_out), hi = static_cast<float>(p.hi - p.zero_out);
  std::uint32_t bytes[4];
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const float first = static_cast<float>(byte_of<first_unsigned>(a, k) - p.zero_in[0]);
    const float second = static_cast<float>(byte_of<second_unsigned>(b, k) - p.zero_in[1]) * p.multiplier[1];
    bytes[k] = round_to_byte(__fmaf_rn(first, p.multiplier[0], second), lo, hi, p.zero_out);
  }
  return pack4(bytes[0], bytes[1], bytes[2], bytes[3]);
}

template <bool first_unsigned, bool second_unsigned>
__global__ void __launch_bounds__(kBlock) add(View a, View b, View out, AddParams p) {
  begin();
  const int vectors = vectors_of(out.c);
  const int index = static_cast<int>(blockIdx.x) * kBlock + static_cast<int>(threadIdx.x);
  if (index >= vectors * out.w * out.h) return;
  const int c = index % vectors * 16, rest = index / vectors;
  const int x = rest % out.w, y = rest / out.w, n = static_cast<int>(blockIdx.y);
  const uint4 from_a = *reinterpret_cast<const uint4*>(a.at<std::uint8_t>(n, y, x, c));
  const uint4 from_b = *reinterpret_cast<const uint4*>(b.at<std::uint8_t>(n, y, x, c));
  store_vector(out, n, y, x, c,
               {add_words<first_unsigned, second_unsigned>(from_a.x, from_b.x, p),
                add_words<first_unsigned, second_unsigned>(from_a.y, from_b.y, p),
                add_words<first_unsigned, second_unsigned>(from_a.z, from_b.z, p),
                add_words<first_unsigned, second_unsigned>(from_a.w, from_b.w, p)});
}

const char* refuse(const StepArgs& args, const Gpu&) {
  if (args.input_count != 2) return "two inputs only";
  const bool vectors = in_vectors(args.inputs[0]) && in_vectors(args.inputs[1]) && in_vectors(args.output);
  return vectors ? nullptr : "its pixels do not start at multiples of 16 bytes";
}

int launch(const StepArgs& args, const Launch& launch) {
  const auto& p = *static_cast<const AddParams*>(args.params);
  const View &a = args.inputs[0], &b = args.inputs[1], &out = args.output;
  const std::int64_t threads = std::int64_t{vectors_of(out.c)} * out.w * out.h;
  if (threads >= INT32_MAX - kBlock || out.n > 65535) return cudaErrorInvalidConfiguration;
  const dim3 blocks(static_cast<unsigned>((threads + kBlock - 1) / kBlock), static_cast<unsigned>(out.n));
  const bool second = b.type == DType::u8;
  const auto compiled = a.type == DType::u8 ? (second ? add<true, true> : add<true, false>)
                                            : (second ? add<false, true> : add<false, false>);
  return start(compiled, blocks, kBlock, launch, a, b, out, p);
}

}  // namespace

extern const Kernel add_s8_vector;
const Kernel add_s8_vector = {.op = "add_s8", .name = "vector", .refuse = refuse, .launch = launch};

}  // namespace octet::kernels::cuda
