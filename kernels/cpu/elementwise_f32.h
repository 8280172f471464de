// add_f32 and affine_f32 for vector instruction sets. Memory-bound, so plain: rows whose pixels follow each other are
// one run, everything else goes pixel by pixel. Multiplications and additions are not fused: these two are equal to the
// reference's values.
#pragma once

#include "kernels/cpu/window.h"

namespace octet::kernels::elementwise {

// The activation's clamp. min and max give their second operand when one is a NaN: it stands there, so it is not lost.
template <class L>
struct Clamp {
  typename L::Float lo, hi;
  Clamp(float low, float high) : lo(L::set(low)), hi(L::set(high)) {}
  typename L::Float operator()(typename L::Float x) const { return L::min(hi, L::max(lo, x)); }
};

// Calls operation(offset, count) for each vector of a run of floats: 0 for whole vectors, else how many are left.
template <class L, class Operation>
__attribute__((always_inline)) static inline void vectors(std::int64_t length, Operation operation) {
  std::int64_t i = 0;
  for (; i + L::kFloats <= length; i += L::kFloats) operation(i, std::int64_t{0});
  if (i < length) operation(i, length - i);
}
template <class L>
__attribute__((always_inline)) static inline typename L::Float load(const float* from, std::int64_t count) {
  return count == 0 ? L::load(from) : L::load(from, count);
}
template <class L>
__attribute__((always_inline)) static inline void store(float* to, typename L::Float v, std::int64_t count) {
  if (count == 0) {
    L::store(to, v);
  } else {
    L::store(to, v, count);
  }
}

static inline bool dense(const StepArgs& args) {
  bool all = args.output.stride_w == args.output.c;
  for (std::int32_t i = 0; i < args.input_count; ++i) all = all && args.inputs[i].stride_w == args.output.c;
  return all;
}

// Calls run(n, y, x, length) for each run of floats of the rows [first, last).
template <class Run>
static void runs(const StepArgs& args, std::int64_t first, std::int64_t last, bool whole_rows, Run run) {
  const View& out = args.output;
  for (std::int64_t row = first; row < last; ++row) {
    if (whole_rows) {
      run(row / out.h, row % out.h, 0, std::int64_t{out.w} * out.c);
      continue;
    }
    for (std::int64_t x = 0; x < out.w; ++x) run(row / out.h, row % out.h, x, std::int64_t{out.c});
  }
}

template <class L>
static void add(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const auto& p = *static_cast<const AddParams*>(args.params);
  const Clamp<L> clamp(p.clamp_lo, p.clamp_hi);
  runs(args, first, last, dense(args), [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t length) {
    const float* from[AddParams::kMaxInputs];
    for (std::int32_t i = 0; i < args.input_count; ++i) from[i] = args.inputs[i].at<float>(n, y, x);
    float* to = args.output.at<float>(n, y, x);
    vectors<L>(length, [&](std::int64_t at, std::int64_t count) {
      auto sum = load<L>(from[0] + at, count);
      for (std::int32_t i = 1; i < args.input_count; ++i) sum = L::add(sum, load<L>(from[i] + at, count));
      store<L>(to + at, clamp(sum), count);
    });
  });
}

template <class L>
static void affine(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const auto& p = *static_cast<const AffineParams*>(args.params);
  const Clamp<L> clamp(p.lo, p.hi);
  const bool whole_rows = p.scale == nullptr && dense(args);
  runs(args, first, last, whole_rows, [&](std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t length) {
    const float* from = args.inputs[0].at<float>(n, y, x);
    float* to = args.output.at<float>(n, y, x);
    vectors<L>(length, [&](std::int64_t at, std::int64_t count) {
      auto value = load<L>(from + at, count);
      if (p.scale != nullptr) {
        value = L::add(L::mul(value, load<L>(p.scale + at, count)), load<L>(p.shift + at, count));
      }
      store<L>(to + at, clamp(value), count);
    });
  });
}

}  // namespace octet::kernels::elementwise
