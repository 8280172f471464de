// depthwise_s8_columns: 3x3 and 5x5 depthwise convolutions of stride 1 or 2. A thread makes a strip of kStrip output
// pixels of one row, four channels wide. It reads the strip's input column by column (kernel_h words, one for each
// row), turns each column so that one word holds one channel's rows, and multiplies four rows at once with dp4a. A
// column serves every output whose window it lies in: it is read and turned once.
//
// Packed weights: [kernel_w][words of rows][C, padded to 4] words, each the weights of rows 4r .. 4r + 3 (0 beyond the
// window) of one channel.
#include "kernels/cuda/vector.cuh"

namespace octet::kernels::cuda {
namespace {

constexpr int kStrip = 4;
constexpr int kBlock = 128;

// rows[k] holds row k's four channels; afterwards turned[c] holds channel c's four rows.
__device__ void turn(const std::uint32_t (&rows)[4], std::uint32_t (&turned)[4]) {
  const std::uint32_t low01 = __byte_perm(rows[0], rows[1], 0x5140), high01 = __byte_perm(rows[0], rows[1], 0x7362);
  const std::uint32_t low23 = __byte_perm(rows[2], rows[3], 0x5140), high23 = __byte_perm(rows[2], rows[3], 0x7362);
  turned[0] = __byte_perm(low01, low23, 0x5410), turned[1] = __byte_perm(low01, low23, 0x7632);
  turned[2] = __byte_perm(high01, high23, 0x5410), turned[3] = __byte_perm(high01, high23, 0x7632);
}

template <int kernel, int stride, bool is_unsigned>
__global__ void __launch_bounds__(kBlock) depthwise(View in, View out, ConvParams p) {
  constexpr int kWords = (kernel + 3) / 4;  // of one column of a channel
  const int channel_words = words_of(out.c), strips = (out.w + kStrip - 1) / kStrip;
  const int index = static_cast<int>(blockIdx.x) * kBlock + static_cast<int>(threadIdx.x);
  if (index >= channel_words * strips * out.h) return;  // (an exit counts as having let the next kernel come)
  const int c = index % channel_words * 4, rest = index / channel_words;
  const int first = rest % strips * kStrip, oy = rest / strips, n = static_cast<int>(blockIdx.y);
  const auto outside = static_cast<std::uint32_t>(p.zero_in & 0xFF) * 0x01010101u;

  const auto* packed = static_cast<const std::uint32_t*>(p.weights) + c;
  std::uint32_t weights[kernel][kWords][4];
#pragma unroll
  for (int i = 0; i < kernel * kWords; ++i) {
    const uint4 four = *reinterpret_cast<const uint4*>(packed + i * channel_words * 4);
    std::uint32_t(&w)[4] = weights[i / kWords][i % kWords];
    w[0] = four.x, w[1] = four.y, w[2] = four.z, w[3] = four.w;
  }
  begin();
  std::int32_t sums[kStrip][4];
  const int4 bias = *reinterpret_cast<const int4*>(p.epilogue.bias + c);
#pragma unroll
  for (int i = 0; i < kStrip; ++i) sums[i][0] = bias.x, sums[i][1] = bias.y, sums[i][2] = bias.z, sums[i][3] = bias.w;

  const int top = oy * stride - p.window.pad_top, left = first * stride - p.window.pad_left;
  const std::uint8_t* base = in.at<std::uint8_t>(n, 0, 0, c);
#pragma unroll
  for (int column = 0; column < (kStrip - 1) * stride + kernel; ++column) {
    const int x = left + column;
    const bool column_inside = x >= 0 && x < in.w;
    std::uint32_t rows[4 * kWords];
#pragma unroll
    for (int r = 0; r < 4 * kWords; ++r) {
      const int y = top + r;
      const bool inside = column_inside && y >= 0 && y < in.h;
      rows[r] = r >= kernel ? 0
                : inside    ? *reinterpret_cast<const std::uint32_t*>(base + y * in.stride_h + x * in.stride_w)
                            : outside;
    }
#pragma unroll
    for (int word = 0; word < kWords; ++word) {
      const std::uint32_t four_rows[4] = {rows[4 * word], rows[4 * word + 1], rows[4 * word + 2], rows[4 * word + 3]};
      std::uint32_t turned[4];
      turn(four_rows, turned);
#pragma unroll
      for (int i = 0; i < kStrip; ++i) {
        const int kx = column - i * stride;
        if (kx < 0 || kx >= kernel) continue;
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          sums[i][k] = dot4<is_unsigned>(turned[k], weights[kx >= 0 && kx < kernel ? kx : 0][word][k], sums[i][k]);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kStrip; ++i) {
    if (first + i < out.w) store_word(out, n, oy, first + i, c, requantise4(p.epilogue, sums[i], c));
  }
}

const char* refuse(const StepArgs& args, const Gpu&) {
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Window& w = p.window;
  if (p.fused_max_pool) return "it does not fuse the max-pool";
  if (p.epilogue.form != Epilogue::Form::one_multiply) return "it stores by rule 7 only";
  if (p.groups != args.inputs[0].c || p.groups != args.output.c) return "one filter a channel only";
  if (w.kernel_h != w.kernel_w || (w.kernel_h != 3 && w.kernel_h != 5)) return "windows of 3x3 and 5x5 only";
  if (w.stride_h != w.stride_w || w.stride_h > 2 || w.dilation_h != 1 || w.dilation_w != 1) {
    return "strides 1 and 2 without dilation only";
  }
  return in_words(args.inputs[0]) && in_words(args.output) ? nullptr : "its pixels do not start at words";
}

template <int kernel, int stride>
int start_for(const StepArgs& args, const ConvParams& p, dim3 blocks, const Launch& launch) {
  const View& in = args.inputs[0];
  const auto compiled = in.type == DType::u8 ? depthwise<kernel, stride, true> : depthwise<kernel, stride, false>;
  return start(compiled, blocks, kBlock, launch, in, args.output, p);
}

int launch(const StepArgs& args, const Launch& launch) {
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const View& out = args.output;
  const std::int64_t threads = std::int64_t{words_of(out.c)} * ((out.w + kStrip - 1) / kStrip) * out.h;
  if (threads >= INT32_MAX - kBlock || out.n > 65535) return cudaErrorInvalidConfiguration;
  const dim3 blocks(static_cast<unsigned>((threads + kBlock - 1) / kBlock), static_cast<unsigned>(out.n));
  if (p.window.kernel_h == 3) {
    return p.window.stride_h == 1 ? start_for<3, 1>(args, p, blocks, launch) : start_for<3, 2>(args, p, blocks, launch);
  }
  return p.window.stride_h == 1 ? start_for<5, 1>(args, p, blocks, launch) : start_for<5, 2>(args, p, blocks, launch);
}

std::size_t packed_bytes(const StepArgs& args, int) {
  const int kernel = static_cast<const ConvParams*>(args.params)->window.kernel_h;
  return static_cast<std::size_t>(kernel) * ((kernel + 3) / 4) * words_of(args.output.c) * 4 * sizeof(std::uint32_t);
}

void pack(const StepArgs& args, int, const void* weights, void* packed) {
  const int kernel = static_cast<const ConvParams*>(args.params)->window.kernel_h;
  const int rows = (kernel + 3) / 4, padded = words_of(args.output.c) * 4;
  const auto* source = static_cast<const std::uint8_t*>(weights);
  auto* target = static_cast<std::uint32_t*>(packed);
  for (int kx = 0; kx < kernel; ++kx) {
    for (int word = 0; word < rows; ++word) {
      for (int c = 0; c < padded; ++c, ++target) {
        *target = 0;
        for (int k = 0; k < 4 && c < args.output.c && 4 * word + k < kernel; ++k) {
          *target |= std::uint32_t{source[(c * kernel + 4 * word + k) * kernel + kx]} << (8 * k);
        }
      }
    }
  }
}

}  // namespace

extern const Kernel depthwise_s8_columns;
const Kernel depthwise_s8_columns = {
    .op = "depthwise_s8",
    .name = "columns",
    .refuse = refuse,
    .launch = launch,
    .packed_bytes = packed_bytes,
    .pack = pack,
};

}  // namespace octet::kernels::cuda
