// From int32 sums in the registers of a matrix instruction to stored activations. Layer 3 of 4 (ptx.cuh names them).
//
// A thread's sums are 2 neighbouring columns of every 8 (mma.cuh, wgmma.cuh): stored as bytes they would make 2-byte
// writes. So pack() permutes the output channels among the columns of each group of 64 (32, 16) columns,
//
//     column 8j + 2t + i  of the group  holds channel  (group / 4) * t + 2j + i
//
// and thread t of the four that share a row holds 16 (8, 4) neighbouring channels: bias and multiplier are read and
// the result is written as whole vectors, straight from registers, four threads filling 64 bytes of one pixel.
#pragma once

#include <cstdint>

#include "kernels/cuda/ptx.cuh"
#include "kernels/params.h"
#include "runtime/arithmetic.h"
#include "runtime/view.h"

namespace octet::kernels::cuda {

// The channel of a group that sits in column `column` of the packed weights.
constexpr int channel_of_column(int column, int group) {
  return group / 4 * (column % 8 / 2) + 2 * (column / 8) + column % 2;
}

// n / d for 0 <= n < 2^31 as one multiplication (Granlund and Montgomery, 1994).
struct Divisor {
  std::uint32_t d = 1, factor = 1, shift = 0;
  Divisor() = default;
  explicit Divisor(std::uint32_t divisor) : d(divisor) {
    while ((std::uint64_t{1} << shift) < d) ++shift;
    factor = static_cast<std::uint32_t>(((std::uint64_t{1} << 32) * ((std::uint64_t{1} << shift) - d)) / d + 1);
  }
  __device__ std::uint32_t quotient(std::uint32_t n) const { return (__umulhi(n, factor) + n) >> shift; }
};

// Number of an output pixel, counted over images, rows, columns -> where it lies.
struct Pixels {
  Divisor row, image;  // pixels of one row, of one image
  std::int64_t stride_n = 0, stride_h = 0, stride_w = 0;
  Pixels() = default;
  explicit Pixels(const View& v)
      : row(v.w),
        image(static_cast<std::uint32_t>(v.h) * v.w),
        stride_n(v.stride_n),
        stride_h(v.stride_h),
        stride_w(v.stride_w) {}
  __device__ void split(std::uint32_t pixel, int& n, int& y, int& x) const {
    n = image.quotient(pixel);
    const std::uint32_t within = pixel - n * image.d;
    y = row.quotient(within);
    x = within - y * row.d;
  }
  __device__ std::int64_t offset(std::uint32_t pixel) const {
    int n, y, x;
    split(pixel, n, y, x);
    return n * stride_n + y * stride_h + x * stride_w;
  }
};

// What the kernels get by value.
struct Finish {
  Epilogue e;
  std::byte* out = nullptr;
  std::int64_t stride_c = 1;
  Pixels pixels;
  int channels = 0;
  bool vectors = false;  // pixels start at multiples of 16 bytes and channels are neighbours
  Finish() = default;
  Finish(const Epilogue& epilogue, const View& v)
      : e(epilogue), out(v.data), stride_c(v.stride_c), pixels(v), channels(v.c) {
    const std::int64_t size = size_of(v.type);
    vectors = v.stride_c == 1 && v.stride_w * size % 16 == 0 && v.stride_h * size % 16 == 0 &&
              v.stride_n * size % 16 == 0 && reinterpret_cast<std::uintptr_t>(v.data) % 16 == 0;
  }
};

// requantise() of arithmetic.h before its "+ zero", left in the low byte. fmaxf / fminf are one instruction each and
// equal to the contract's clamp, the product being no NaN; rounding is the same addition.
__device__ __forceinline__ std::uint32_t rounded_bits(float product, float lo, float hi) {
  return __float_as_uint(__fadd_rn(fminf(fmaxf(product, lo), hi), 12582912.0f));
}

__device__ __forceinline__ std::uint32_t low_bytes(const std::uint32_t* four) {
  const std::uint32_t low = __byte_perm(four[0], four[1], 0x0040), high = __byte_perm(four[2], four[3], 0x0040);
  return __byte_perm(low, high, 0x5410);
}

// Bias and multiplier of the columns of a tile, in shared memory, 0 past the last channel: the sums' owners then read
// whole vectors without asking where the channels end. Loaded early, stored when the memory is free.
struct ChannelConstant {
  int bias = 0;
  float multiplier = 0;
  __device__ ChannelConstant(const Finish& f, int channel) {
    if (channel < f.channels) bias = __ldg(f.e.bias + channel), multiplier = __ldg(f.e.multiplier + channel);
  }
};

// Where the constant of the tile's column `column` (in the order of channels) lies, in words: the four vectors that
// four neighbouring threads read at once are neighbours, whatever the group's width.
__device__ __forceinline__ int constant_slot(int column, int group) {
  const int in_group = column % group, each = group / 4;
  return column - in_group + in_group % each / 4 * 16 + in_group / each * 4 + in_group % 4;
}

// Those of one thread's `Count` neighbouring channels, the ones of member `t` of the four that share a row.
template <int Count>
struct Channels {
  int bias[Count];
  float multiplier[Count];
  // `constants` holds [columns] biases, then [columns] multipliers; `group_start` is the group's first column.
  __device__ __forceinline__ Channels(std::uint32_t constants, int columns, int group_start, int t) {
#pragma unroll
    for (int i = 0; i < Count; i += 4) {
      const int slot = group_start + 4 * i + 4 * t;
      const int4 b = ptx::load_shared(constants + 4 * slot);
      const int4 m = ptx::load_shared(constants + 4 * (columns + slot));
      bias[i] = b.x, bias[i + 1] = b.y, bias[i + 2] = b.z, bias[i + 3] = b.w;
      multiplier[i] = __int_as_float(m.x), multiplier[i + 1] = __int_as_float(m.y);
      multiplier[i + 2] = __int_as_float(m.z), multiplier[i + 3] = __int_as_float(m.w);
    }
  }
};

// Stores bytes of `Count` channels, never past the last channel.
template <int Count>
__device__ __forceinline__ void store_bytes(const Finish& f, std::uint32_t (&bytes)[Count / 4], int channel,
                                            std::int64_t at) {
  std::byte* to = f.out + at + channel * f.stride_c;
  int left = f.channels - channel;
  if (f.vectors && left >= Count) {
    if constexpr (Count == 16) *reinterpret_cast<uint4*>(to) = make_uint4(bytes[0], bytes[1], bytes[2], bytes[3]);
    if constexpr (Count == 8) *reinterpret_cast<uint2*>(to) = make_uint2(bytes[0], bytes[1]);
    if constexpr (Count == 4) *reinterpret_cast<std::uint32_t*>(to) = bytes[0];
    return;
  }
  if constexpr (Count == 16) {
    if (f.vectors && left >= 8) {
      *reinterpret_cast<uint2*>(to) = make_uint2(bytes[0], bytes[1]);
      bytes[0] = bytes[2], bytes[1] = bytes[3];
      to += 8, left -= 8;
    }
  }
  if (left > Count) left = Count;
#pragma unroll 1
  for (; left > 0; --left, to += f.stride_c) {  // small, not fast: the last few channels of odd layers
    *to = static_cast<std::byte>(bytes[0]);
#pragma unroll
    for (int i = 0; i < Count / 4; ++i) {
      bytes[i] = __funnelshift_r(bytes[i], i + 1 < Count / 4 ? bytes[i + 1 < Count / 4 ? i + 1 : i] : 0, 8);
    }
  }
}

// Rule 13 and the notebook's form, one channel after the other: heads and a teaching mode, so small rather than fast.
template <int Count, bool Notebook>
__device__ __forceinline__ void finish_other(const Finish& f, int (&sums)[Count], int channel, std::int64_t at) {
#pragma unroll 1
  for (int i = 0; i < Count && channel + i < f.channels; ++i) {
    const float m = __ldg(f.e.multiplier + channel + i);
    const std::int64_t to = at + (channel + i) * f.stride_c;
    if (f.e.form == Epilogue::Form::real) {
      reinterpret_cast<float*>(f.out)[to] = __fmul_rn(static_cast<float>(sums[0]), m);
    } else if constexpr (Notebook) {
      f.out[to] = static_cast<std::byte>(arithmetic::requantise_notebook(sums[0], f.e.scale_out, m, f.e.lo, f.e.hi));
    }
#pragma unroll
    for (int j = 0; j + 1 < Count; ++j) sums[j] = sums[j + 1];
  }
}

// Rule 7 for `Count` neighbouring channels, bias already added: four bytes a word.
struct Requantise {
  float lo, hi;
  std::uint32_t zeros;  // the zero point four times
  __device__ explicit Requantise(const Epilogue& e)
      : lo(static_cast<float>(e.lo - e.zero)),
        hi(static_cast<float>(e.hi - e.zero)),
        zeros((e.zero & 0xFF) * 0x01010101u) {}
  template <int Count>
  __device__ __forceinline__ void operator()(std::uint32_t (&bytes)[Count / 4], const int (&sums)[Count],
                                             const float (&multiplier)[Count]) const {
#pragma unroll
    for (int i = 0; i < Count; i += 4) {
      std::uint32_t bits[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        bits[j] = rounded_bits(__fmul_rn(static_cast<float>(sums[i + j]), multiplier[i + j]), lo, hi);
      }
      bytes[i / 4] = low_bytes(bits);
    }
    if (zeros != 0) {  // the same for all threads; mod 256, no carry between bytes
#pragma unroll
      for (int i = 0; i < Count / 4; ++i) bytes[i] = __vadd4(bytes[i], zeros);
    }
  }
};

// Rule 7, 13 or the notebook's for `Count` neighbouring channels of one pixel, bias already added; `at` is the pixel's
// offset in elements.
template <int Count, bool Notebook = false>
__device__ __forceinline__ void finish(const Finish& f, int (&sums)[Count], const float (&multiplier)[Count],
                                       int channel, std::int64_t at) {
  if (channel >= f.channels) return;
  if (f.e.form != Epilogue::Form::one_multiply) return finish_other<Count, Notebook>(f, sums, channel, at);
  std::uint32_t bytes[Count / 4];
  const Requantise requantise(f.e);
  requantise(bytes, sums, multiplier);
  store_bytes<Count>(f, bytes, channel, at);
}

template <int Count>
__device__ __forceinline__ void add(int (&sums)[Count], const int (&bias)[Count]) {
#pragma unroll
  for (int i = 0; i < Count; ++i) sums[i] += bias[i];
}

}  // namespace octet::kernels::cuda
