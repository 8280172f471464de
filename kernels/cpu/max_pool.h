// max_pool_s8 and max_pool_f32 for vector instruction sets: a vector of channels of one output pixel at a time. Loads
// may run past a pixel's channels (activations are followed by readable bytes), stores may not.
#pragma once

#include "kernels/cpu/window.h"

namespace octet::kernels::max_pool {

// What a vector of each element type is.
template <class L, class T>
struct Elements {
  using Vector = typename L::Bytes;
  static constexpr int kCount = L::kBytes;
  static Vector load(const T* from) { return L::load(from); }
  static Vector raise(Vector best, Vector x) { return L::larger(best, x, T()); }
  static void store(T* to, Vector v, std::int64_t count) {
    if (count >= kCount) return L::store_bytes(to, v);
    L::store_bytes(to, v, count);
  }
};
template <class L>
struct Elements<L, float> {
  using Vector = typename L::Float;
  static constexpr int kCount = L::kFloats;
  static Vector load(const float* from) { return L::load(from); }
  static Vector raise(Vector best, Vector x) { return L::max_or_nan(best, x); }
  static void store(float* to, Vector v, std::int64_t count) {
    if (count >= kCount) return L::store(to, v);
    L::store(to, v, count);
  }
};

// The part of a window that lies inside of the input: elements from `corner` on.
struct Region {
  std::int64_t rows, columns, row_step, column_step;
};

// kRows and kColumns, where not 0, are the region's: its loops then unroll.
template <class E, int kRows, int kColumns, class T>
static void pixel(const Region& r, const T* corner, T* target, std::int64_t channels) {
  const std::int64_t rows = kRows != 0 ? kRows : r.rows, columns = kColumns != 0 ? kColumns : r.columns;
  for (std::int64_t c = 0; c < channels; c += E::kCount) {
    auto best = E::load(corner + c);
#pragma GCC unroll 3
    for (std::int64_t y = 0; y < rows; ++y) {
      const T* from = corner + c + y * r.row_step;
#pragma GCC unroll 3
      for (std::int64_t x = 0; x < columns; ++x) best = E::raise(best, E::load(from + x * r.column_step));
    }
    E::store(target + c, best, channels - c);
  }
}

template <class L, class T>
static void run_as(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  using E = Elements<L, T>;
  const View& in = args.inputs[0];
  const View& out = args.output;
  const Window& w = static_cast<const PoolParams*>(args.params)->window;
  Region r{0, 0, w.dilation_h * in.stride_h, w.dilation_w * in.stride_w};
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, oy = row % out.h;
    const std::int64_t y = oy * w.stride_h - w.pad_top;
    const window::Taps ys = window::inside(y, w.kernel_h, w.dilation_h, in.h);
    r.rows = ys.last - ys.first;
    for (std::int64_t ox = 0; ox < out.w; ++ox) {
      const std::int64_t x = ox * w.stride_w - w.pad_left;
      const window::Taps xs = window::inside(x, w.kernel_w, w.dilation_w, in.w);
      r.columns = xs.last - xs.first;
      const T* corner = in.at<T>(n, y + ys.first * w.dilation_h, x + xs.first * w.dilation_w);
      T* target = out.at<T>(n, oy, ox);
      if (r.rows == 3 && r.columns == 3) {
        pixel<E, 3, 3>(r, corner, target, out.c);
      } else if (r.rows == 2 && r.columns == 2) {
        pixel<E, 2, 2>(r, corner, target, out.c);
      } else {
        pixel<E, 0, 0>(r, corner, target, out.c);
      }
    }
  }
}

// 8 bits, either signedness.
template <class L>
static void run_bytes(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  const bool is_unsigned = args.inputs[0].type == DType::u8;
  (is_unsigned ? run_as<L, std::uint8_t> : run_as<L, std::int8_t>)(args, first, last, scratch);
}

}  // namespace octet::kernels::max_pool
