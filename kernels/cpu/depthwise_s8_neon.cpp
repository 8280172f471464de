// depthwise_s8_neon: sixteen channels of four output pixels at a time. Two neighbouring taps of a window row are added
// in 16 bits by smull and smlal, exact because |w| <= 127 (QGraph::validate) and |x| <= 128, then widened to 32.
//
// Packed: 128 * sum(w) for each channel (0 where inputs are not flipped, see neon.h), padded to 16 channels; then the
// weights [channel block of 16][kh * kw][16].
#include "kernels/cpu/direct_conv.h"
#include "kernels/cpu/neon.h"

namespace octet::kernels {
namespace {

constexpr std::int64_t kBlock = 16;
constexpr int kPixels = 4;

std::int64_t padded_channels(const StepArgs& args) { return (args.output.c + kBlock - 1) / kBlock * kBlock; }
std::int64_t taps(const StepArgs& args) {
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  return std::int64_t{w.kernel_h} * w.kernel_w;
}

std::size_t packed_bytes(const StepArgs& args) {
  return static_cast<std::size_t>(padded_channels(args) * (4 + taps(args)));
}

void pack(const StepArgs& args, const void* weights, void* packed) {
  std::memset(packed, 0, packed_bytes(args));
  const std::int32_t flip = neon::flips(args) ? 128 : 0;
  const auto* source = static_cast<const std::int8_t*>(weights);
  auto* compensation = static_cast<std::int32_t*>(packed);
  auto* target = static_cast<std::int8_t*>(packed) + 4 * padded_channels(args);
  for (std::int64_t c = 0; c < args.output.c; ++c) {
    for (std::int64_t tap = 0; tap < taps(args); ++tap, ++source) {
      target[(c / kBlock * taps(args) + tap) * kBlock + c % kBlock] = *source;
      compensation[c] += flip * *source;
    }
  }
}

struct Sums {
  int32x4_t s[4];
};

template <bool Flip>
inline int8x16_t load(const std::byte* from) {
  const uint8x16_t bytes = vld1q_u8(reinterpret_cast<const std::uint8_t*>(from));
  return vreinterpretq_s8_u8(Flip ? veorq_u8(bytes, vdupq_n_u8(0x80)) : bytes);
}

inline void add(Sums& sums, int16x8_t low, int16x8_t high) {
  sums.s[0] = vaddw_s16(sums.s[0], vget_low_s16(low)), sums.s[1] = vaddw_high_s16(sums.s[1], low);
  sums.s[2] = vaddw_s16(sums.s[2], vget_low_s16(high)), sums.s[3] = vaddw_high_s16(sums.s[3], high);
}
inline void multiply_add(Sums& sums, int8x16_t x, int8x16_t w) {
  add(sums, vmull_s8(vget_low_s8(x), vget_low_s8(w)), vmull_high_s8(x, w));
}
inline void multiply_add(Sums& sums, int8x16_t x0, int8x16_t w0, int8x16_t x1, int8x16_t w1) {
  const int16x8_t low = vmull_s8(vget_low_s8(x0), vget_low_s8(w0)), high = vmull_high_s8(x0, w0);
  add(sums, vmlal_s8(low, vget_low_s8(x1), vget_low_s8(w1)), vmlal_high_s8(high, x1, w1));
}

// Bytes between what the window's rows and taps, and neighbouring output pixels, read.
struct Steps {
  std::int64_t row, tap, pixel;
};

// P output pixels, one block of channels: `input` is the first pixel's first tap.
template <bool Flip, int P>
void micro(const Window& window, const Steps& steps, const std::byte* input, const std::int8_t* weights,
           Sums (&sums)[P]) {
  for (std::int64_t ky = 0; ky < window.kernel_h; ++ky, input += steps.row) {
    const std::byte* x = input;
    std::int64_t kx = 0;
    for (; kx + 2 <= window.kernel_w; kx += 2, x += 2 * steps.tap, weights += 2 * kBlock) {
      const int8x16_t w0 = vld1q_s8(weights), w1 = vld1q_s8(weights + kBlock);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) {
        const std::byte* at = x + p * steps.pixel;
        multiply_add(sums[p], load<Flip>(at), w0, load<Flip>(at + steps.tap), w1);
      }
    }
    if (kx == window.kernel_w) continue;
    const int8x16_t w = vld1q_s8(weights);
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) multiply_add(sums[p], load<Flip>(x + p * steps.pixel), w);
    weights += kBlock;
  }
}

// P pixels from ox on, channels from c on: sums, then the epilogue.
template <bool Flip, int P>
void pixels(const StepArgs& args, const neon::Constants& constants, const Steps& steps, std::int64_t row,
            std::int64_t ox, std::int64_t c) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto& p = *static_cast<const ConvParams*>(args.params);
  const Window& w = p.window;
  const std::int64_t n = row / out.h, oy = row % out.h;
  const auto* weights = static_cast<const std::int8_t*>(p.weights) + 4 * padded_channels(args) + c * taps(args);
  Sums sums[P];
  for (int i = 0; i < 4; ++i) {
    const int32x4_t start =
        vaddq_s32(vld1q_s32(constants.bias + c + 4 * i), vld1q_s32(constants.compensation + c + 4 * i));
    for (int pixel = 0; pixel < P; ++pixel) sums[pixel].s[i] = start;
  }
  const auto* first = in.at<std::byte>(n, oy * w.stride_h - w.pad_top, ox * w.stride_w - w.pad_left, c);
  micro<Flip, P>(w, steps, first, weights, sums);
  const std::int64_t size = constants.form == Epilogue::Form::real ? 4 : 1;
  std::byte* target = out.data + (n * out.stride_n + oy * out.stride_h + ox * out.stride_w + c) * size;
  for (int pixel = 0; pixel < P; ++pixel, target += out.stride_w * size) {
    neon::store_sixteen(constants, constants.multiplier + c, sums[pixel].s, out.c - c, target);
  }
}

// The last group of pixels is moved back to end with the row; rows shorter than a group go pixel by pixel.
template <bool Flip>
void run_rows(const StepArgs& args, std::int64_t first, std::int64_t last) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const Window& w = static_cast<const ConvParams*>(args.params)->window;
  const neon::Constants constants = neon::constants_of(args);
  const Steps steps = {w.dilation_h * in.stride_h, w.dilation_w * in.stride_w, w.stride_w * in.stride_w};
  for (std::int64_t row = first; row < last; ++row) {
    for (std::int64_t c = 0; c < out.c; c += kBlock) {
      if (out.w < kPixels) {
        for (std::int64_t x = 0; x < out.w; ++x) pixels<Flip, 1>(args, constants, steps, row, x, c);
        continue;
      }
      for (std::int64_t x = 0; x < out.w; x += kPixels) {
        const std::int64_t from = x + kPixels <= out.w ? x : out.w - kPixels;
        pixels<Flip, kPixels>(args, constants, steps, row, from, c);
      }
    }
  }
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  (neon::flips(args) ? run_rows<true> : run_rows<false>)(args, first, last);
}

}  // namespace

extern const Kernel depthwise_s8_neon;
const Kernel depthwise_s8_neon = {
    .op = "depthwise_s8",
    .isa = "neon",
    .refuse = refuse_notebook,
    .tiles = neon::rows,
    .run = run,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .reads_halo = true,
};

}  // namespace octet::kernels
