// conv2d_s8_pixels: first layers, whose pixels are one 32-bit word (at most 4 channels).
//
// A word is exactly what one register of a matrix instruction's A operand holds (mma.cuh: bytes 4t..4t+3 of a row), so
// nothing is unfolded: a block copies the patch of the image that its 8x16 outputs see into shared memory once, word by
// word, with the zero point around the image, and each thread reads its operands straight from there:
//
//     a[0], a[1]   tap dx + t of filter row dy, for pixels g and g + 8 of sixteen
//     a[2], a[3]   the same for the next "half" of K
//
// K runs in halves of 16 bytes: four neighbouring taps of one filter row, ceil(kernel_w / 4) halves a filter row, with
// weights of 0 past its end. A 7x7 filter is 14 halves, 7 instructions deep (88 % of them useful).
//
// The rows of a warp's 32 pixels are ordered as in gemm_mma.cuh, 8p + g being position p of 2x2 window g, so that a
// max-pool is a maximum of one thread's own sums; without one the order does not matter. Word 4g + t of a row is then
// what a stride of 2 reads: 32 different banks.
#include <cuda_runtime.h>

#include "kernels/cuda/convolution.h"
#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/packing.h"

namespace octet::kernels::cuda {
namespace {

constexpr int kRows = 8, kColumns = 16;  // outputs of a block, before a max-pool; a warp has two rows
constexpr int kWarps = 4, kThreads = 32 * kWarps;
constexpr int kSharedLimit = 48 * 1024;

struct PixelsTask {
  const std::byte* in = nullptr;
  const std::byte* weights = nullptr;  // [channel][pitch]
  std::int64_t stride_n = 0;
  int stride_h = 0, stride_w = 0, h = 0, w = 0;  // strides in bytes
  int step_h = 1, step_w = 1, pad_top = 0, pad_left = 0, dilation_h = 1, dilation_w = 1;
  int row_halves = 1, steps = 1, kernel_h = 1;  // steps: of 32 bytes of K
  int patch_h = 0, patch_w = 0, pitch = 0;      // of the patch in words; of a channel's weights in bytes
  Divisor patch_columns;
  int out_h = 0, out_w = 0, tiles_w = 0, tiles_h = 0;  // before a max-pool
  bool pool = false;
  std::uint32_t fill = 0;  // four times the zero point
  Finish finish;
};

// The patch's words, the padding filled in.
__device__ __forceinline__ void copy_patch(const PixelsTask& t, std::uint32_t* patch, int n, int y0, int x0) {
  const std::byte* image = t.in + n * t.stride_n;
#pragma unroll 4
  for (int i = threadIdx.x; i < t.patch_h * t.patch_w; i += kThreads) {
    const int row = t.patch_columns.quotient(i), y = y0 + row, x = x0 + i - row * t.patch_w;
    const bool inside =
        static_cast<unsigned>(y) < static_cast<unsigned>(t.h) && static_cast<unsigned>(x) < static_cast<unsigned>(t.w);
    patch[i] = inside ? __ldg(reinterpret_cast<const std::uint32_t*>(image + static_cast<std::int64_t>(y) * t.stride_h +
                                                                     static_cast<std::int64_t>(x) * t.stride_w))
                      : t.fill;
  }
}

// sums[m16][n8] of the warp's 32 pixels; `corner[p]` is the word of the first tap of this thread's pixel at position p.
template <bool kUnsigned, int kN>
__device__ __forceinline__ void multiply_patch(const PixelsTask& t, int (&sums)[2][kN / 8][4],
                                               const std::uint32_t* patch, const int (&corner)[4],
                                               std::uint32_t weights) {
  const int lane = threadIdx.x % 32, tap = lane % 4 * t.dilation_w;
  const std::uint32_t b_row = weights + (lane / 16 * 8 + lane % 8) * t.pitch + lane / 8 % 2 * 16;
  int dy = 0, half = 0;
  for (int step = 0; step < t.steps; ++step) {
    int offset[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      offset[i] = min(dy, t.kernel_h - 1) * t.dilation_h * t.patch_w + 4 * half * t.dilation_w + tap;
      if (++half == t.row_halves) half = 0, ++dy;
    }
    std::uint32_t a[2][4];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      a[i][0] = patch[corner[2 * i] + offset[0]], a[i][1] = patch[corner[2 * i + 1] + offset[0]];
      a[i][2] = patch[corner[2 * i] + offset[1]], a[i][3] = patch[corner[2 * i + 1] + offset[1]];
    }
#pragma unroll
    for (int j = 0; j < kN / 16; ++j) {
      std::uint32_t b[4];
      ptx::load_matrices(b, b_row + 16 * j * t.pitch + 32 * step);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        multiply_16x8x32<kUnsigned>(sums[i][2 * j], a[i], b[0], b[1]);
        multiply_16x8x32<kUnsigned>(sums[i][2 * j + 1], a[i], b[2], b[3]);
      }
    }
  }
}

template <int kN>
__device__ __forceinline__ void finish_patch(const PixelsTask& t, const int (&sums)[2][kN / 8][4],
                                             std::uint32_t constants, int n, int y, int x, int column) {
  constexpr int kCount = kN / 4;
  const int lane = threadIdx.x % 32, channel = column + kCount * (lane % 4), window = lane / 4;
  const Channels<kCount> c(constants, kN, 0, lane % 4);
  const auto pick = [&](int(&to)[kCount], int position) {
    const int i = position / 2, half = position % 2;
#pragma unroll
    for (int j = 0; j < kN / 8; ++j) to[2 * j] = sums[i][j][2 * half], to[2 * j + 1] = sums[i][j][2 * half + 1];
    add(to, c.bias);
  };
  const Pixels& p = t.finish.pixels;
  const auto store = [&](int(&picked)[kCount], int oy, int ox, int h, int w) {
    if (oy < h && ox < w) {
      finish<kCount, true>(t.finish, picked, c.multiplier, channel, n * p.stride_n + oy * p.stride_h + ox * p.stride_w);
    }
  };
  int picked[kCount];
  if (t.pool) {
    pick(picked, 0);
#pragma unroll
    for (int position = 1; position < 4; ++position) {
      int other[kCount];
      pick(other, position);
#pragma unroll
      for (int k = 0; k < kCount; ++k) picked[k] = max(picked[k], other[k]);
    }
    store(picked, y / 2, x / 2 + window, t.out_h / 2, t.out_w / 2);
    return;
  }
#pragma unroll
  for (int position = 0; position < 4; ++position) {
    pick(picked, position);
    store(picked, y + position / 2, x + 2 * window + position % 2, t.out_h, t.out_w);
  }
}

template <int kN, bool kUnsigned>
__global__ void __launch_bounds__(kThreads) conv_pixels(const __grid_constant__ PixelsTask t) {
  extern __shared__ __align__(16) std::uint8_t dynamic[];  // weights, constants, patch
  const std::uint32_t weights = ptx::shared_address(dynamic), constants = weights + kN * t.pitch;
  std::uint32_t* patch = reinterpret_cast<std::uint32_t*>(dynamic + kN * (t.pitch + 8));
  const int tile_w = blockIdx.x % t.tiles_w, tile_h = blockIdx.x / t.tiles_w % t.tiles_h;
  const int n = blockIdx.x / t.tiles_w / t.tiles_h, column = blockIdx.y * kN;
  const int y = tile_h * kRows, x = tile_w * kColumns;
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();

  for (int i = threadIdx.x; i < kN * t.pitch / 16; i += kThreads) {
    ptx::copy_async<16>(weights + 16 * i, t.weights + static_cast<std::int64_t>(column) * t.pitch + 16 * i, true);
  }
  ptx::commit_copies();
  for (int i = threadIdx.x; i < kN; i += kThreads) {
    const ChannelConstant constant(t.finish, column + i);
    const int slot = constant_slot(i, kN);
    ptx::store_shared(constants + 4 * slot, constant.bias);
    ptx::store_shared(constants + 4 * (kN + slot), __float_as_int(constant.multiplier));
  }
  copy_patch(t, patch, n, y * t.step_h - t.pad_top, x * t.step_w - t.pad_left);
  ptx::wait_copies<0>();
  __syncthreads();

  const int warp = threadIdx.x / 32, window = threadIdx.x % 32 / 4;
  int corner[4];
#pragma unroll
  for (int p = 0; p < 4; ++p) {
    corner[p] = (2 * warp + p / 2) * t.step_h * t.patch_w + (2 * window + p % 2) * t.step_w;
  }
  int sums[2][kN / 8][4] = {};
  multiply_patch<kUnsigned, kN>(t, sums, patch, corner, weights);
  finish_patch<kN>(t, sums, constants, n, y + 2 * warp, x, column);
}

// --- host side

int group_of(const Convolution& c) { return c.out.c <= 16 ? 16 : c.out.c <= 32 ? 32 : 64; }
int row_halves(const Convolution& c) { return static_cast<int>(ceil_div(c.p.window.kernel_w, 4)); }
int steps_of(const Convolution& c) { return static_cast<int>(ceil_div(c.p.window.kernel_h * row_halves(c), 2)); }
// An odd number of 16-byte units: eight channels' rows then start in different banks.
int pitch_of(const Convolution& c) { return 32 * steps_of(c) + 16; }
int patch_h(const Convolution& c) { return (kRows - 1) * c.p.window.stride_h + c.p.window.span_h(); }
int patch_w(const Convolution& c) {
  return (kColumns - 1) * c.p.window.stride_w + (4 * row_halves(c) - 1) * c.p.window.dilation_w + 1;
}
int shared_of(const Convolution& c) { return group_of(c) * (pitch_of(c) + 8) + 4 * patch_h(c) * patch_w(c); }

const char* refuse(const StepArgs& args, const Gpu&) {
  const Convolution c(args, false);
  if (c.p.groups != 1) return "several groups";
  if (c.depth > 4 || !c.aligned(4)) return "pixels that are not one 32-bit word";
  if (c.rows > INT32_MAX / 2 || c.in.stride_h > INT32_MAX / 2) return "more than 2^30 pixels or bytes a row";
  if (c.p.window.kernel_h > 64 || c.p.window.kernel_w > 64 || c.p.window.stride_h > 64 || c.p.window.stride_w > 64 ||
      shared_of(c) > kSharedLimit) {
    return "a window that does not fit in shared memory";
  }
  return nullptr;
}

PixelsTask task_of(const Convolution& c) {
  PixelsTask t;
  const Window& w = c.p.window;
  const int pool = c.p.fused_max_pool ? 2 : 1;
  t.in = c.in.data, t.weights = static_cast<const std::byte*>(c.p.weights);
  t.stride_n = c.in.stride_n, t.stride_h = static_cast<int>(c.in.stride_h),
  t.stride_w = static_cast<int>(c.in.stride_w);
  t.h = c.in.h, t.w = c.in.w;
  t.step_h = w.stride_h, t.step_w = w.stride_w, t.pad_top = w.pad_top, t.pad_left = w.pad_left;
  t.dilation_h = w.dilation_h, t.dilation_w = w.dilation_w;
  t.row_halves = row_halves(c), t.steps = steps_of(c), t.kernel_h = w.kernel_h;
  t.patch_h = patch_h(c), t.patch_w = patch_w(c), t.pitch = pitch_of(c);
  t.patch_columns = Divisor(static_cast<std::uint32_t>(t.patch_w));
  t.out_h = c.out.h * pool, t.out_w = c.out.w * pool, t.pool = c.p.fused_max_pool;
  t.tiles_h = static_cast<int>(ceil_div(t.out_h, kRows)), t.tiles_w = static_cast<int>(ceil_div(t.out_w, kColumns));
  t.fill = static_cast<std::uint32_t>(c.p.zero_in & 0xFF) * 0x01010101u;
  t.finish = Finish(c.p.epilogue, c.out);
  return t;
}

int launch(const StepArgs& args, const Launch& launch) {
  const Convolution c(args, false);
  const PixelsTask t = task_of(c);
  const bool u8 = c.in.type == DType::u8;
  const int group = group_of(c);
  const auto kernel = group == 64   ? (u8 ? conv_pixels<64, true> : conv_pixels<64, false>)
                      : group == 32 ? (u8 ? conv_pixels<32, true> : conv_pixels<32, false>)
                                    : (u8 ? conv_pixels<16, true> : conv_pixels<16, false>);
  cudaLaunchConfig_t config = {};
  config.gridDim =
      dim3(static_cast<unsigned>(t.tiles_w) * t.tiles_h * c.out.n, static_cast<unsigned>(ceil_div(c.out.c, group)));
  config.blockDim = kThreads;
  config.dynamicSmemBytes = static_cast<std::size_t>(shared_of(c));
  config.stream = launch.stream;
  cudaLaunchAttribute overlap;
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &overlap;
  config.numAttrs = launch.gpu->major >= 9 ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, t);
}

std::size_t packed_bytes(const StepArgs& args, int) {
  const Convolution c(args, false);
  return static_cast<std::size_t>(round_up(c.out.c, group_of(c)) * pitch_of(c));
}

// [channel, in the order of epilogue.cuh][filter row][tap, rounded up to 4][4 channels], zeros elsewhere.
void pack(const StepArgs& args, int, const void* weights, void* packed) {
  const Convolution c(args, false);
  const Window& w = c.p.window;
  const int group = group_of(c), pitch = pitch_of(c), row_bytes = 16 * row_halves(c);
  const auto* from = static_cast<const std::int8_t*>(weights);
  auto* to = static_cast<std::int8_t*>(packed);
  std::memset(packed, 0, packed_bytes(args, 0));
  for (std::int64_t column = 0; column < round_up(c.out.c, group); ++column) {
    const std::int64_t channel = column / group * group + channel_of_column(static_cast<int>(column % group), group);
    if (channel >= c.out.c) continue;
    for (int tap = 0; tap < c.taps; ++tap) {
      for (int d = 0; d < c.depth; ++d) {
        to[column * pitch + tap / w.kernel_w * row_bytes + tap % w.kernel_w * 4 + d] =
            from[(channel * c.depth + d) * c.taps + tap];
      }
    }
  }
}

}  // namespace

extern const Kernel conv2d_s8_pixels;
const Kernel conv2d_s8_pixels = {
    .op = "conv2d_s8",
    .name = "pixels",
    .refuse = refuse,
    .launch = launch,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .fuses_max_pool = true,
};

}  // namespace octet::kernels::cuda
