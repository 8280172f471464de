// lookup_s8_photo: photos, u8 [n, H, W, 3] with rows side by side, to pixels of one word. A thread turns four pixels:
// three words of the photo through the three tables (which a block keeps in shared memory) to four words.
#include "kernels/cuda/vector.cuh"

namespace octet::kernels::cuda {
namespace {

constexpr int kBlock = 256;

__global__ void __launch_bounds__(kBlock) lookup(View in, View out, const std::uint8_t* table) {
  __shared__ std::uint8_t tables[3 * 256];
  for (int i = static_cast<int>(threadIdx.x); i < 3 * 256; i += kBlock) tables[i] = table[i];
  __syncthreads();
  begin();
  const int pixels = out.h * out.w;
  const int first = (static_cast<int>(blockIdx.x) * kBlock + static_cast<int>(threadIdx.x)) * 4;
  if (first >= pixels) return;
  const std::uint8_t* from = in.at<std::uint8_t>(blockIdx.y, 0, 0) + 3 * first;
  std::uint8_t* to = out.at<std::uint8_t>(blockIdx.y, 0, 0) + 4 * first;
  const auto word = [&](std::uint32_t r, std::uint32_t g, std::uint32_t b) {
    return pack4(tables[r & 0xFF], tables[256 + (g & 0xFF)], tables[512 + (b & 0xFF)], 0);
  };
  const auto* words = reinterpret_cast<const std::uint32_t*>(from);
  const std::uint32_t a = words[0], b = words[1], c = words[2];
  const uint4 four = {word(a, a >> 8, a >> 16), word(a >> 24, b, b >> 8), word(b >> 16, b >> 24, c),
                      word(c >> 8, c >> 16, c >> 24)};
  *reinterpret_cast<uint4*>(to) = four;
}

const char* refuse(const StepArgs& args, const Gpu&) {
  const View &in = args.inputs[0], &out = args.output;
  const bool dense = in.c == 3 && in.stride_c == 1 && in.stride_w == 3 && in.stride_h == 3 * std::int64_t{in.w} &&
                     in.stride_n == in.stride_h * in.h;
  if (!dense) return "photos of three channels without gaps only";
  const bool packed = out.stride_c == 1 && out.stride_w == kSmallPixel && out.stride_h == 4 * std::int64_t{out.w} &&
                      out.stride_n == out.stride_h * out.h;
  if (!packed) return "it writes pixels of one word only";
  return out.h * out.w % 4 == 0 ? nullptr : "its pixels are not a multiple of four";
}

int launch(const StepArgs& args, const Launch& launch) {
  const View& out = args.output;
  const int pixels = out.h * out.w;
  if (out.n > 65535) return cudaErrorInvalidConfiguration;
  const dim3 blocks(static_cast<unsigned>((pixels / 4 + kBlock - 1) / kBlock), static_cast<unsigned>(out.n));
  const auto* table = static_cast<const std::uint8_t*>(static_cast<const LookupParams*>(args.params)->table);
  return start(lookup, blocks, kBlock, launch, args.inputs[0], out, table);
}

}  // namespace

extern const Kernel lookup_s8_photo;
const Kernel lookup_s8_photo = {.op = "lookup_s8", .name = "photo", .refuse = refuse, .launch = launch};

}  // namespace octet::kernels::cuda
