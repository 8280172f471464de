// The cases of each operation: random shapes that wander over strides, paddings, dilations, groups, odd channels,
// slices and both signednesses, plus the shapes of real networks' layers.
#pragma once

#include <limits>

#include "tests/kernel_tester.h"

namespace octet::test {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Values for a plane: all integers of the type's range that `lo` and `hi` allow, or reals.
inline void fill_integers(Plane& p, Random& random, int lo, int hi) {
  p.values.resize(p.elements());
  for (float& v : p.values) v = static_cast<float>(random.between(lo, hi));
}
inline void fill_reals(Plane& p, Random& random, double magnitude) {
  p.values.resize(p.elements());
  random.fill(p.values, magnitude);
}
inline void slice(Plane& p, Random& random) {
  if (!random.chance(0.3)) return;
  p.channels_before = random.between(0, 9), p.channels_after = random.between(0, 9);
}

inline Border border_of(const Window& w, const Plane& in, const Plane& out) {
  return {w.pad_top, w.pad_left, std::max(0, (out.h - 1) * w.stride_h - w.pad_top + w.span_h() - in.h),
          std::max(0, (out.w - 1) * w.stride_w - w.pad_left + w.span_w() - in.w)};
}
inline bool set_output_size(const Window& w, const Plane& in, Plane& out, bool ceil_mode = false) {
  out.h = window_output(in.h, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom, w.dilation_h, ceil_mode);
  out.w = window_output(in.w, w.kernel_w, w.stride_w, w.pad_left, w.pad_right, w.dilation_w, ceil_mode);
  return out.h > 0 && out.w > 0;
}
inline Window random_window(Random& random, int largest, bool dilate) {
  Window w;
  w.kernel_h = random.between(1, largest), w.kernel_w = random.between(1, largest);
  w.stride_h = random.between(1, 3), w.stride_w = random.between(1, 3);
  if (dilate && random.chance(0.3)) w.dilation_h = random.between(1, 3), w.dilation_w = random.between(1, 3);
  if (random.chance(0.6)) {
    w.pad_top = random.between(0, w.span_h() - 1), w.pad_bottom = random.between(0, w.span_h() - 1);
    w.pad_left = random.between(0, w.span_w() - 1), w.pad_right = random.between(0, w.span_w() - 1);
  }
  return w;
}
inline std::string describe(const Window& w, const Plane& in, const Plane& out) {
  return fmt::format("{}x{}x{}x{} (+{}+{}) -> {}x{}x{} k{}x{} s{}x{} p{},{},{},{} d{}x{} {} -> {}", in.n, in.h, in.w,
                     in.c, in.channels_before, in.channels_after, out.h, out.w, out.c, w.kernel_h, w.kernel_w,
                     w.stride_h, w.stride_w, w.pad_top, w.pad_left, w.pad_bottom, w.pad_right, w.dilation_h,
                     w.dilation_w, name_of(in.type), name_of(out.type));
}

// --- convolutions and linear layers

struct ConvOwner {
  kernels::ConvParams params;
  std::vector<std::int32_t> bias;
  std::vector<float> multiplier, bias_real;
};
struct ConvShape {
  int n, h, w, c, out_c;
  Window window;
  int groups = 1;
};

inline std::size_t padded(int channels) { return static_cast<std::size_t>((channels + 63) / 64 * 64); }

inline void integer_parts(Case& test, ConvOwner& owner, Random& random, std::int64_t depth) {
  Plane& in = test.inputs[0];
  kernels::ConvParams& p = owner.params;
  in.type = random.chance(0.5) ? DType::u8 : DType::s8;
  // Inputs within [0, 127] open the way for kernels that read s8 as u8 or whose instructions saturate at 16 bits.
  p.seven_bits = random.chance(0.4);
  p.non_negative = p.seven_bits || (in.type == DType::u8 && random.chance(0.5));
  const int lo = in.type == DType::u8 || p.seven_bits ? 0 : -127;
  const int hi = in.type == DType::u8 && !p.seven_bits ? 255 : 127;
  p.zero_in = in.type == DType::u8 ? random.between(0, hi) : 0;
  fill_integers(in, random, lo, hi);
  test.pad_value = p.zero_in;
  test.weights = Tensor(DType::s8, Shape{test.output.c, depth});
  // Mostly small weights (as a network's are), whose neighbours' products some kernels add in 16 bits, or of any size.
  const bool small = random.chance(0.5);
  for (std::int8_t& w : test.weights.span<std::int8_t>()) {
    const int most = small && random.chance(0.97) ? 40 : 127;
    w = static_cast<std::int8_t>(random.between(-most, most));
  }

  const double spread = std::sqrt(static_cast<double>(depth)) * 5000;  // about one deviation of the sums
  owner.bias.resize(padded(test.output.c)), owner.multiplier.resize(padded(test.output.c));
  for (int c = 0; c < test.output.c; ++c) {
    const auto i = static_cast<std::size_t>(c);
    owner.bias[i] = random.between(-static_cast<int>(spread), static_cast<int>(spread));
    if (random.chance(0.05)) owner.bias[i] = random.chance(0.5) ? 1 << 30 : -(1 << 30);
    owner.multiplier[i] = static_cast<float>(60 / spread * (0.2 + random.unit()));
  }
  kernels::Epilogue& e = p.epilogue;
  e.bias = owner.bias.data(), e.multiplier = owner.multiplier.data();
  const double form = random.unit();
  test.output.type = random.chance(0.5) ? DType::u8 : DType::s8;
  const bool affine = test.output.type == DType::u8;
  e.lo = affine ? 0 : -127, e.hi = affine && random.chance(0.7) ? 255 : 127;
  e.zero = affine ? random.between(0, e.hi) : 0;
  if (form < 0.2) {
    e.form = kernels::Epilogue::Form::real;
    test.output.type = DType::f32;
  } else if (form < 0.3 && !affine) {
    e.form = kernels::Epilogue::Form::notebook;
    e.scale_out = 0.7f;
    for (float& m : owner.multiplier) m = m > 0 ? e.scale_out / m : 1.0f;
  }
  double largest = 0;
  for (int c = 0; c < test.output.c; ++c) {
    const auto i = static_cast<std::size_t>(c);
    if (random.chance(0.05)) owner.multiplier[i] *= 1e6f;  // products beyond 2^31
    const double bound = std::abs(static_cast<double>(owner.bias[i])) + 255.0 * 127.0 * static_cast<double>(depth);
    largest = std::max(largest, bound * owner.multiplier[i]);
  }
  e.fits_int32 = largest < 2147483000.0;
  if (random.chance(0.4)) e.lo = std::max(e.lo, e.zero);  // ReLU
  if (random.chance(0.2)) e.hi = std::min(e.hi, e.zero + random.between(0, 100));
}

inline void real_parts(Case& test, ConvOwner& owner, Random& random, std::int64_t depth) {
  test.inputs[0].type = test.output.type = DType::f32;
  fill_reals(test.inputs[0], random, 3.0);
  test.weights = random.tensor(Shape{test.output.c, depth}, 1.0);
  owner.bias_real.resize(padded(test.output.c));
  random.fill(std::span(owner.bias_real).first(static_cast<std::size_t>(test.output.c)), 2.0);
  owner.params.bias = owner.bias_real.data();
  owner.params.lo = random.chance(0.4) ? 0.0f : -kInfinity;
  owner.params.hi = random.chance(0.2) ? 6.0f : kInfinity;
}

// depth + 1 terms in any order have at most depth + 1 roundings each (Higham, 3.1), the reference's own one besides;
// the sum of magnitudes comes from the reference itself, run on absolute values.
inline void bound_reals(const Kernel& reference, Case& test, ConvOwner& owner, std::int64_t depth) {
  Case absolute = test;
  const kernels::ConvParams params = owner.params;
  const std::vector<float> bias = owner.bias_real;
  for (float& v : absolute.inputs[0].values) v = std::fabs(v);
  absolute.weights = test.weights.clone();
  for (float& v : absolute.weights.span<float>()) v = std::fabs(v);
  for (float& v : owner.bias_real) v = std::fabs(v);
  owner.params.lo = -kInfinity, owner.params.hi = kInfinity;
  const std::vector<float> magnitude = run_kernel(reference, absolute, 0, 0).values;
  owner.params = params, owner.bias_real = bias;
  owner.params.bias = owner.bias_real.data();
  const double roundings = static_cast<double>(depth + 3) * kUlp;
  for (const float m : magnitude) test.bound.push_back(roundings / (1 - roundings) * 1.0001 * static_cast<double>(m));
}

inline Case weighted_case(const Kernel& reference, Random& random, const ConvShape& s, std::int64_t depth) {
  const std::string op = reference.op;
  auto owner = std::make_shared<ConvOwner>();
  Case test;
  test.inputs = {{.n = s.n, .h = s.h, .w = s.w, .c = s.c}};
  test.output = {.n = s.n, .c = s.out_c};
  slice(test.inputs[0], random), slice(test.output, random);
  if (op.starts_with("conv_transpose2d")) {
    const Window& w = s.window;
    test.output.h = (s.h - 1) * w.stride_h - w.pad_top - w.pad_bottom + w.span_h();
    test.output.w = (s.w - 1) * w.stride_w - w.pad_left - w.pad_right + w.span_w();
  } else if (!op.starts_with("linear")) {
    set_output_size(s.window, test.inputs[0], test.output);
  }
  owner->params.window = s.window, owner->params.groups = s.groups;
  const bool integer = op.ends_with("_s8");
  (integer ? integer_parts : real_parts)(test, *owner, random, depth);
  test.needed = border_of(s.window, test.inputs[0], test.output);
  if (op.starts_with("linear") || op.starts_with("conv_transpose2d")) test.needed = {};
  test.params = std::shared_ptr<const void>(owner, &owner->params);
  test.set_weights = [owner](const void* packed) { owner->params.weights = packed; };
  if (!integer) bound_reals(reference, test, *owner, depth);
  test.name = fmt::format("{} g{} form {}", describe(s.window, test.inputs[0], test.output), s.groups,
                          static_cast<int>(owner->params.epilogue.form));
  return test;
}

inline Case conv_case(const Kernel& reference, Random& random, const ConvShape& s) {
  return weighted_case(reference, random, s, std::int64_t{s.c} / s.groups * s.window.kernel_h * s.window.kernel_w);
}

inline ConvShape random_conv(Random& random, bool depthwise) {
  for (;;) {
    ConvShape s{random.between(1, 3),          random.between(1, 9), random.between(1, 40), random.between(1, 20), 1,
                random_window(random, 4, true)};
    if (random.chance(0.15)) s.c = random.between(60, 70);
    s.out_c = random.chance(0.1) ? random.between(60, 70) : random.between(1, 20);
    if (random.chance(0.1)) s.h = s.w = 1, s.window = {};
    if (depthwise) {
      s.groups = s.out_c = s.c;
      if (random.chance(0.6)) {  // the windows that fast kernels know
        const int kernel = random.chance(0.6) ? 3 : 5;
        s.window = Window::square(kernel, random.between(1, 2), random.between(0, kernel / 2));
      }
    } else if (random.chance(0.3)) {
      s.groups = random.between(2, 4);
      s.c = s.groups * random.between(1, 5), s.out_c = s.groups * random.between(1, 5);
    }
    Plane in{.h = s.h, .w = s.w}, out;
    if (set_output_size(s.window, in, out)) return s;
  }
}

// The same convolution with the 2x2 max-pool behind it in one step, for kernels that can; empty when nothing is left.
inline bool fuse_pool(const Kernel& reference, Case& test) {
  Plane& out = test.output;
  const bool real_epilogue = out.type == DType::f32 && test.bound.empty();
  if (out.h < 2 || out.w < 2 || real_epilogue) return false;  // the planner pools integers or floats only
  const std::vector<float> whole = run_kernel(reference, test, 0, 0).values;
  const int h = out.h / 2, w = out.w / 2;
  std::vector<double> bounds;
  for (int n = 0; n < out.n; ++n) {
    for (int y = 0; y < h; ++y) {
      for (int x = 0; x < w; ++x) {
        for (int c = 0; c < out.c; ++c) {
          const auto index = [&](int dy, int dx) {
            return ((static_cast<std::size_t>(n) * out.h + 2 * y + dy) * out.w + 2 * x + dx) * out.c + c;
          };
          float best = -kInfinity;
          double bound = 0;
          for (const std::size_t i : {index(0, 0), index(0, 1), index(1, 0), index(1, 1)}) {
            best = std::max(best, whole[i]);
            if (!test.bound.empty()) bound = std::max(bound, test.bound[i]);
          }
          test.wanted.push_back(best);
          bounds.push_back(bound);
        }
      }
    }
  }
  if (!test.bound.empty()) test.bound = bounds;
  auto& params = *const_cast<kernels::ConvParams*>(static_cast<const kernels::ConvParams*>(test.params.get()));
  params.fused_max_pool = true;
  out.h = 2 * h, out.w = 2 * w;
  test.needed = border_of(params.window, test.inputs[0], out);
  out.h = h, out.w = w;
  test.name += " with a max-pool";
  return true;
}

inline std::vector<Case> convolutions(const Kernel& reference, Random& random, bool depthwise) {
  std::vector<Case> cases;
  for (int i = 0; i < 60; ++i) cases.push_back(conv_case(reference, random, random_conv(random, depthwise)));
  std::vector<ConvShape> layers;
  if (depthwise) {  // MobileNetV2's, cut to a few rows
    layers = {{1, 6, 112, 32, 32, Window::square(3, 1, 1), 32},    {1, 7, 14, 96, 96, Window::square(3, 2, 1), 96},
              {1, 9, 14, 144, 144, Window::square(3, 1, 1), 144},  {2, 7, 7, 960, 960, Window::square(3, 1, 1), 960},
              {1, 11, 14, 240, 240, Window::square(5, 1, 2), 240}, {1, 9, 14, 72, 72, Window::square(5, 2, 2), 72},
              {1, 9, 7, 5, 5, Window::square(3, 1, 1), 5},         {1, 6, 9, 33, 33, Window::square(5, 1, 2), 33}};
  } else {  // the cat/dog network's, ResNet50's and MobileNetV2's, cut to a few rows where they are tall
    layers = {{1, 8, 224, 3, 16, Window::square(5)},         {1, 6, 110, 16, 32, Window::square(5)},
              {2, 5, 53, 32, 16, Window::square(3)},         {2, 25, 25, 16, 8, Window::square(3)},
              {1, 4, 28, 96, 24, Window::square(1)},         {1, 13, 60, 3, 64, Window::square(7, 2, 3)},
              {1, 9, 112, 3, 32, Window::square(3, 2, 1)},   {1, 7, 7, 64, 48, Window::square(3, 1, 1)},
              {1, 5, 14, 128, 130, Window::square(3, 1, 1)}, {1, 9, 56, 64, 70, Window::square(3, 2, 1)},
              {1, 8, 28, 128, 33, Window::square(1, 2)},     {2, 7, 7, 160, 200, Window::square(1)},
              {1, 14, 14, 96, 576, Window::square(1)},       {1, 7, 7, 130, 64, Window::square(3, 1, 1)},
              {2, 7, 7, 1024, 64, Window::square(1)},        {1, 5, 30, 100, 128, Window::square(3, 2, 1)},
              {1, 14, 14, 600, 192, Window::square(1, 2)}};
  }
  for (const ConvShape& s : layers) {
    for (int i = 0; i < 2; ++i) cases.push_back(conv_case(reference, random, s));
  }
  return cases;
}

inline std::vector<Case> linears(const Kernel& reference, Random& random) {
  std::vector<ConvShape> shapes = {{2, 11, 11, 8, 512, {}}, {5, 1, 1, 512, 2, {}}};  // the cat/dog network's
  for (int i = 0; i < 40; ++i) {
    shapes.push_back({random.between(1, 5), 1, 1, random.between(1, 90), random.between(1, 140), {}});
    if (random.chance(0.4)) shapes.back().h = random.between(1, 4), shapes.back().w = random.between(1, 4);
    if (random.chance(0.1)) shapes.back().n = random.between(15, 34);
  }
  std::vector<Case> cases;
  for (const ConvShape& s : shapes) cases.push_back(weighted_case(reference, random, s, std::int64_t{s.h} * s.w * s.c));
  return cases;
}

}  // namespace octet::test
