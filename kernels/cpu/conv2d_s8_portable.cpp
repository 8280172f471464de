// conv2d_s8_portable: for each pair of output pixels, the inputs under the window are gathered into one row of int16
// (im2col), which is then multiplied with four output channels at a time.
//
// Packed weights, int16, for one group of 6 channels with a depth of kh * kw * C/groups = 18, padded to 32:
//
//     channel 0: k0 k1 ... k17 0 ... 0      k runs over (ky, kx, c), the order of NHWC memory,
//     channel 1: k0 k1 ... k17 0 ... 0      so that a row of the window is one contiguous run
//     ...
//     channels 6, 7: zeros                  (channels of a group are padded to a multiple of 4)
#include "kernels/cpu/portable.h"

namespace octet::kernels {
namespace {

struct Sizes {
  std::int64_t group_in, group_out, padded_out, depth, padded_depth;
};

Sizes sizes_of(const StepArgs& args) {
  const auto& p = *static_cast<const ConvParams*>(args.params);
  Sizes s{};
  s.group_in = args.inputs[0].c / p.groups;
  s.group_out = args.output.c / p.groups;
  s.padded_out = portable::round_up(s.group_out, portable::kChannels);
  s.depth = s.group_in * p.window.kernel_h * p.window.kernel_w;
  s.padded_depth = portable::round_up(s.depth, portable::kDepth);
  return s;
}

std::size_t packed_bytes(const StepArgs& args) {
  const Sizes s = sizes_of(args);
  const auto& p = *static_cast<const ConvParams*>(args.params);
  return static_cast<std::size_t>(p.groups * s.padded_out * s.padded_depth) * sizeof(std::int16_t);
}

void pack(const StepArgs& args, const void* weights, void* packed) {
  const Sizes s = sizes_of(args);
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Window& w = p.window;
  std::memset(packed, 0, packed_bytes(args));
  const auto* source = static_cast<const std::int8_t*>(weights);
  for (std::int64_t o = 0; o < args.output.c; ++o) {
    auto* row =
        static_cast<std::int16_t*>(packed) + (o / s.group_out * s.padded_out + o % s.group_out) * s.padded_depth;
    for (std::int64_t c = 0; c < s.group_in; ++c) {
      for (std::int64_t tap = 0; tap < w.kernel_h * w.kernel_w; ++tap) row[tap * s.group_in + c] = *source++;
    }
  }
}

std::size_t scratch_bytes(const StepArgs& args) {
  const Sizes s = sizes_of(args);
  const std::int64_t columns = portable::kPixels * s.padded_depth * static_cast<std::int64_t>(sizeof(std::int16_t));
  const std::int64_t sums = portable::kPixels * s.padded_out * static_cast<std::int64_t>(sizeof(std::int32_t));
  return static_cast<std::size_t>(portable::round_up(columns, 64) + sums);
}

// The inputs of output (oy, ox) as one int16 row. Padding is read from the halo.
template <class T>
void gather(const View& in, const Window& w, std::int64_t group_in, std::int64_t first_channel, std::int64_t n,
            std::int64_t oy, std::int64_t ox, std::int16_t* column) {
  const std::int64_t x = ox * w.stride_w - w.pad_left;
  const bool one_run = w.dilation_w == 1 && in.stride_w == group_in;
  for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
    const std::int64_t y = oy * w.stride_h - w.pad_top + ky * w.dilation_h;
    if (one_run) {
      portable::widen(in.at<T>(n, y, x), column, w.kernel_w * group_in);
      column += w.kernel_w * group_in;
      continue;
    }
    for (std::int64_t kx = 0; kx < w.kernel_w; ++kx, column += group_in) {
      portable::widen(in.at<T>(n, y, x + kx * w.dilation_w, first_channel), column, group_in);
    }
  }
}

template <class T>
void run_rows(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Sizes s = sizes_of(args);
  auto* columns = static_cast<std::int16_t*>(scratch);
  auto* sums = reinterpret_cast<std::int32_t*>(
      static_cast<std::byte*>(scratch) +
      portable::round_up(portable::kPixels * s.padded_depth * static_cast<std::int64_t>(sizeof(std::int16_t)), 64));
  std::memset(columns, 0, static_cast<std::size_t>(portable::kPixels * s.padded_depth) * sizeof(std::int16_t));

  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, oy = row % out.h;
    for (std::int64_t ox = 0; ox < out.w; ox += portable::kPixels) {
      const std::int64_t pixels = out.w - ox < portable::kPixels ? out.w - ox : portable::kPixels;
      for (std::int64_t g = 0; g < p.groups; ++g) {
        for (std::int64_t i = 0; i < pixels; ++i) {
          gather<T>(in, p.window, s.group_in, g * s.group_in, n, oy, ox + i, columns + i * s.padded_depth);
        }
        const auto* weights = static_cast<const std::int16_t*>(p.weights) + g * s.padded_out * s.padded_depth;
        for (std::int64_t c = 0; c < s.padded_out; c += portable::kChannels) {
          std::int32_t block[portable::kPixels][portable::kChannels];
          portable::dot_2x4(columns, weights + c * s.padded_depth, s.padded_depth, block);
          for (std::int64_t i = 0; i < portable::kPixels; ++i) {
            std::memcpy(sums + i * s.padded_out + c, block[i], sizeof block[i]);
          }
        }
        for (std::int64_t i = 0; i < pixels; ++i) {
          portable::store_channels(p.epilogue, out.type, portable::pixel(out, n, oy, ox + i, g * s.group_out),
                                   g * s.group_out, s.group_out, sums + i * s.padded_out);
        }
      }
    }
  }
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  const bool is_unsigned = args.inputs[0].type == DType::u8;
  (is_unsigned ? run_rows<std::uint8_t> : run_rows<std::int8_t>)(args, first, last, scratch);
}

}  // namespace

extern const Kernel conv2d_s8_portable;
const Kernel conv2d_s8_portable = {
    .op = "conv2d_s8",
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
