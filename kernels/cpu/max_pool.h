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

// A run of output pixels whose windows reach the same number of rows and columns inside of the input.
template <class T>
struct Run {
  const T* from = nullptr;  // the first window's first element
  T* to = nullptr;
  std::int64_t pixels = 0, from_step = 0, to_step = 0;
  std::int64_t rows = 0, columns = 0, row_step = 0, column_step = 0;
  std::int64_t channels = 0;
};

// kRows and kColumns, where not 0, are the run's: its loops then unroll.
template <class E, int kRows, int kColumns, class T>
static void pool_run(const Run<T>& run) {
  const std::int64_t rows = kRows != 0 ? kRows : run.rows, columns = kColumns != 0 ? kColumns : run.columns;
  const T* pixel = run.from;
  T* to = run.to;
  for (std::int64_t i = 0; i < run.pixels; ++i, pixel += run.from_step, to += run.to_step) {
    for (std::int64_t c = 0; c < run.channels; c += E::kCount) {
      auto best = E::load(pixel + c);
#pragma GCC unroll 3
      for (std::int64_t y = 0; y < rows; ++y) {
        const T* from = pixel + c + y * run.row_step;
#pragma GCC unroll 3
        for (std::int64_t x = 0; x < columns; ++x) best = E::raise(best, E::load(from + x * run.column_step));
      }
      E::store(to + c, best, run.channels - c);
    }
  }
}

template <class E, class T>
static void choose_run(const Run<T>& run) {
  if (run.rows == 3 && run.columns == 3) return pool_run<E, 3, 3>(run);
  if (run.rows == 2 && run.columns == 2) return pool_run<E, 2, 2>(run);
  pool_run<E, 0, 0>(run);
}

template <class L, class T>
static void run_as(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const Window& w = static_cast<const PoolParams*>(args.params)->window;
  // Output pixels from `left` up to `right` have whole windows, the others are runs of one.
  const std::int64_t left = (w.pad_left + w.stride_w - 1) / w.stride_w;
  const std::int64_t whole = in.w + w.pad_left >= w.span_w() ? (in.w + w.pad_left - w.span_w()) / w.stride_w + 1 : 0;
  const std::int64_t right = whole < out.w ? whole : out.w;
  Run<T> run{.from_step = w.stride_w * in.stride_w,
             .to_step = out.stride_w,
             .row_step = w.dilation_h * in.stride_h,
             .column_step = w.dilation_w * in.stride_w,
             .channels = out.c};
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, oy = row % out.h;
    const std::int64_t y = oy * w.stride_h - w.pad_top;
    const window::Taps ys = window::inside(y, w.kernel_h, w.dilation_h, in.h);
    run.rows = ys.last - ys.first;
    for (std::int64_t ox = 0; ox < out.w; ox += run.pixels) {
      const std::int64_t x = ox * w.stride_w - w.pad_left;
      const window::Taps xs = window::inside(x, w.kernel_w, w.dilation_w, in.w);
      run.columns = xs.last - xs.first;
      run.pixels = ox >= left && ox < right ? right - ox : 1;
      run.from = in.at<T>(n, y + ys.first * w.dilation_h, x + xs.first * w.dilation_w);
      run.to = out.at<T>(n, oy, ox);
      choose_run<Elements<L, T>>(run);
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
