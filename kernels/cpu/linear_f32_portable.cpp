// linear_f32_portable: a block of output features for up to 16 images is one matrix product.
//
// Packed weights, float: [outputs][features], as in PyTorch.
#include "kernels/cpu/gemm_f32.h"

namespace octet::kernels {
namespace {

constexpr std::int64_t kBlock = 64;   // output features of one tile
constexpr std::int64_t kImages = 16;  // images of one tile

std::int64_t features(const StepArgs& args) {
  const View& in = args.inputs[0];
  return std::int64_t{in.h} * in.w * in.c;
}
std::int64_t blocks(const StepArgs& args) { return (args.output.c + kBlock - 1) / kBlock; }
std::int64_t tiles(const StepArgs& args) { return (args.output.n + kImages - 1) / kImages * blocks(args); }

std::size_t packed_bytes(const StepArgs& args) {
  return static_cast<std::size_t>(args.output.c * features(args)) * sizeof(float);
}
void pack(const StepArgs& args, const void* weights, void* packed) { std::memcpy(packed, weights, packed_bytes(args)); }

std::size_t scratch_bytes(const StepArgs& args) {
  return static_cast<std::size_t>(kImages * (features(args) + kBlock)) * sizeof(float);
}

// The features of one image as one contiguous row.
void gather(const View& in, std::int64_t n, float* row) {
  for (std::int64_t y = 0; y < in.h; ++y) {
    for (std::int64_t x = 0; x < in.w; ++x, row += in.c) {
      std::memcpy(row, in.at<float>(n, y, x), static_cast<std::size_t>(in.c) * sizeof(float));
    }
  }
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const View& out = args.output;
  auto* rows = static_cast<float*>(scratch);
  float* sums = rows + kImages * features(args);
  std::int64_t gathered = -1;
  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t n = tile / blocks(args) * kImages;
    const std::int64_t images = out.n - n < kImages ? out.n - n : kImages;
    if (n != gathered) {
      for (std::int64_t i = 0; i < images; ++i) gather(args.inputs[0], n + i, rows + i * features(args));
      gathered = n;
    }
    const std::int64_t o = tile % blocks(args) * kBlock;
    const std::int64_t count = out.c - o < kBlock ? out.c - o : kBlock;
    const float* weights = static_cast<const float*>(p.weights) + o * features(args);
    portable::Matrix(sums, images, count).noalias() = portable::ConstMatrix(rows, images, features(args)) *
                                                      portable::ConstMatrix(weights, count, features(args)).transpose();
    for (std::int64_t i = 0; i < images; ++i) {
      portable::store_real(p, out.at<float>(n + i, 0, 0, o), o, count, sums + i * count);
    }
  }
}

}  // namespace

extern const Kernel linear_f32_portable;
const Kernel linear_f32_portable = {
    .op = "linear_f32",
    .isa = "portable",
    .refuse = accept,
    .tiles = tiles,
    .run = run,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
};

}  // namespace octet::kernels
