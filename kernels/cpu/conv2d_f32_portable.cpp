// conv2d_f32_portable: im2col for a block of output pixels of one row, then one matrix product a group.
//
// Packed weights, float: [groups][kh * kw * C/groups][O/groups], k in the order (ky, kx, c) of NHWC memory.
#include "kernels/cpu/gemm_f32.h"

namespace octet::kernels {
namespace {

constexpr std::int64_t kPixels = 32;  // pixels of one product: the columns of a 3x3 over 512 channels are 590 kB

struct Sizes {
  std::int64_t group_in, group_out, depth;
};

Sizes sizes_of(const StepArgs& args) {
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const std::int64_t group_in = args.inputs[0].c / p.groups;
  return {group_in, args.output.c / p.groups, group_in * p.window.kernel_h * p.window.kernel_w};
}

std::size_t packed_bytes(const StepArgs& args) {
  return static_cast<std::size_t>(args.output.c * sizes_of(args).depth) * sizeof(float);
}

void pack(const StepArgs& args, const void* weights, void* packed) {
  const Sizes s = sizes_of(args);
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const std::int64_t taps = std::int64_t{p.window.kernel_h} * p.window.kernel_w;
  const auto* source = static_cast<const float*>(weights);
  for (std::int64_t o = 0; o < args.output.c; ++o) {
    float* group = static_cast<float*>(packed) + o / s.group_out * s.depth * s.group_out;
    for (std::int64_t c = 0; c < s.group_in; ++c) {
      for (std::int64_t tap = 0; tap < taps; ++tap)
        group[(tap * s.group_in + c) * s.group_out + o % s.group_out] = *source++;
    }
  }
}

std::size_t scratch_bytes(const StepArgs& args) {
  const Sizes s = sizes_of(args);
  return static_cast<std::size_t>(kPixels * (s.depth + s.group_out)) * sizeof(float) + 64;
}

void gather(const View& in, const Window& w, std::int64_t group_in, std::int64_t first_channel, std::int64_t n,
            std::int64_t oy, std::int64_t ox, float* column) {
  const std::int64_t x = ox * w.stride_w - w.pad_left;
  const bool one_run = w.dilation_w == 1 && in.stride_w == group_in;
  for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
    const std::int64_t y = oy * w.stride_h - w.pad_top + ky * w.dilation_h;
    const std::int64_t runs = one_run ? 1 : w.kernel_w;
    const std::int64_t length = one_run ? w.kernel_w * group_in : group_in;
    for (std::int64_t kx = 0; kx < runs; ++kx, column += length) {
      std::memcpy(column, in.at<float>(n, y, x + kx * w.dilation_w, first_channel),
                  static_cast<std::size_t>(length) * sizeof(float));
    }
  }
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  const View& out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Sizes s = sizes_of(args);
  auto* columns = static_cast<float*>(scratch);
  float* sums = columns + kPixels * s.depth;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, oy = row % out.h;
    for (std::int64_t ox = 0; ox < out.w; ox += kPixels) {
      const std::int64_t pixels = out.w - ox < kPixels ? out.w - ox : kPixels;
      for (std::int64_t g = 0; g < p.groups; ++g) {
        for (std::int64_t i = 0; i < pixels; ++i) {
          gather(args.inputs[0], p.window, s.group_in, g * s.group_in, n, oy, ox + i, columns + i * s.depth);
        }
        const auto* weights = static_cast<const float*>(p.weights) + g * s.depth * s.group_out;
        portable::multiply(columns, weights, sums, pixels, s.depth, s.group_out);
        for (std::int64_t i = 0; i < pixels; ++i) {
          portable::store_real(p, out.at<float>(n, oy, ox + i, g * s.group_out), g * s.group_out, s.group_out,
                               sums + i * s.group_out);
        }
      }
    }
  }
}

}  // namespace

extern const Kernel conv2d_f32_portable;
const Kernel conv2d_f32_portable = {
    .op = "conv2d_f32",
    .isa = "portable",
    .refuse = accept,
    .tiles = portable::rows,
    .run = run,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
    .reads_halo = true,
};

}  // namespace octet::kernels
