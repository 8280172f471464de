// avg_pool_s8 and avg_pool_f32 for vector instruction sets: the sum over a window for a block of channels, four vectors
// wide, then rule 9's multiplier (which holds 1 / count) or a division. One tile is one block of channels of one output
// row, so that a global average over a small map still splits over threads.
#pragma once

#include "kernels/cpu/to_bytes.h"
#include "kernels/cpu/window.h"
#include "kernels/reference/sliding.h"

namespace octet::kernels::avg_pool {

template <class L>
static std::int64_t blocks(const StepArgs& args) {
  return (args.output.c + L::kBytes - 1) / L::kBytes;
}
template <class L>
static std::int64_t tiles(const StepArgs& args) {
  return window::rows(args) * blocks<L>(args);
}

// The window of one output pixel, and how many of its elements the average counts.
struct Region {
  const std::byte* corner = nullptr;           // of the block's channels
  std::int64_t rows = 0, columns = 0;          // inside of the input
  std::int64_t row_step = 0, column_step = 0;  // bytes
  std::int32_t counted = 0;                    // with padding where that counts
};

static inline Region region_of(const StepArgs& args, std::int64_t n, std::int64_t oy, std::int64_t ox, std::int64_t c,
                               std::int64_t size) {
  const View& in = args.inputs[0];
  const auto& p = *static_cast<const PoolParams*>(args.params);
  const Window& w = p.window;
  const std::int64_t y = oy * w.stride_h - w.pad_top, x = ox * w.stride_w - w.pad_left;
  const window::Taps ys = window::inside(y, w.kernel_h, w.dilation_h, in.h);
  const window::Taps xs = window::inside(x, w.kernel_w, w.dilation_w, in.w);
  Region r;
  const std::int64_t row = y + ys.first * w.dilation_h, column = x + xs.first * w.dilation_w;
  r.corner = in.data + (n * in.stride_n + row * in.stride_h + column * in.stride_w + c) * size;
  r.rows = ys.last - ys.first, r.columns = xs.last - xs.first;
  r.row_step = w.dilation_h * in.stride_h * size, r.column_step = w.dilation_w * in.stride_w * size;
  r.counted = p.count_include_pad ? reference::count_with_padding(in, w, oy, ox)
                                  : static_cast<std::int32_t>(r.rows * r.columns);
  return r;
}

template <class Vector, class Load, class Add>
__attribute__((always_inline)) static inline void sum_up(const Region& r, Load load, Add add, Vector (&sums)[4]) {
  for (std::int64_t y = 0; y < r.rows; ++y) {
    const std::byte* from = r.corner + y * r.row_step;
    for (std::int64_t x = 0; x < r.columns; ++x, from += r.column_step) {
      for (int i = 0; i < 4; ++i) sums[i] = add(sums[i], load(from, i));
    }
  }
}

template <class L, class In, class Out>
static void run_integers(const StepArgs& args, std::int64_t first, std::int64_t last) {
  const View& out = args.output;
  const auto& p = *static_cast<const PoolParams*>(args.params);
  const auto to_bytes = ToBytes<L, Out>::of(p.lo, p.hi, p.zero_out);
  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t row = tile / blocks<L>(args), c = tile % blocks<L>(args) * L::kBytes;
    for (std::int64_t ox = 0; ox < out.w; ++ox) {
      const Region r = region_of(args, row / out.h, row % out.h, ox, c, 1);
      // Starts at - zero a summed element; padding adds nothing.
      const auto start = L::set(static_cast<std::int32_t>(-r.rows * r.columns) * p.zero_in);
      typename L::Int sums[4] = {start, start, start, start};
      const auto load = [](const std::byte* from, int i) {
        return L::widen(reinterpret_cast<const In*>(from) + i * L::kFloats);
      };
      sum_up(
          r, load, [](auto a, auto b) { return L::add(a, b); }, sums);
      const auto m = L::set(p.multiplier[r.counted - 1]);
      typename L::Float values[4];
      for (int i = 0; i < 4; ++i) values[i] = L::mul(L::to_float(sums[i]), m);
      std::byte* target = out.at<std::byte>(row / out.h, row % out.h, ox, c);
      if (out.c - c >= L::kBytes) {
        L::store_bytes(target, to_bytes(values));
      } else {
        L::store_bytes(target, to_bytes(values), out.c - c);
      }
    }
  }
}

template <class L>
static void run_bytes(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const bool from_unsigned = args.inputs[0].type == DType::u8, to_unsigned = args.output.type == DType::u8;
  using U = std::uint8_t;
  using S = std::int8_t;
  if (from_unsigned) return (to_unsigned ? run_integers<L, U, U> : run_integers<L, U, S>)(args, first, last);
  return (to_unsigned ? run_integers<L, S, U> : run_integers<L, S, S>)(args, first, last);
}

template <class L>
static void run_floats(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& out = args.output;
  for (std::int64_t tile = first; tile < last; ++tile) {
    const std::int64_t row = tile / blocks<L>(args), c = tile % blocks<L>(args) * L::kBytes;
    for (std::int64_t ox = 0; ox < out.w; ++ox) {
      const std::int64_t left = out.c - c < L::kBytes ? out.c - c : L::kBytes;
      const Region r = region_of(args, row / out.h, row % out.h, ox, c, 4);
      typename L::Float sums[4] = {L::set(0.0f), L::set(0.0f), L::set(0.0f), L::set(0.0f)};
      // Only what is there is read: four vectors of floats are more than may be read beyond an activation.
      const auto load = [left](const std::byte* from, int i) {
        const std::int64_t there = left - i * L::kFloats;
        const auto* floats = reinterpret_cast<const float*>(from) + i * L::kFloats;
        if (there >= L::kFloats) return L::load(floats);
        return there > 0 ? L::load(floats, there) : L::set(0.0f);
      };
      sum_up(
          r, load, [](auto a, auto b) { return L::add(a, b); }, sums);
      const auto count = L::set(static_cast<float>(r.counted));
      for (int i = 0; i < 4 && left > i * L::kFloats; ++i) {
        const std::int64_t there = left - i * L::kFloats;
        float* target = out.at<float>(row / out.h, row % out.h, ox, c + i * L::kFloats);
        if (there >= L::kFloats) {
          L::store(target, L::div(sums[i], count));
        } else {
          L::store(target, L::div(sums[i], count), there);
        }
      }
    }
  }
}

}  // namespace octet::kernels::avg_pool
