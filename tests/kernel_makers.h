// What to run the kernels of each operation on: makers() by the operation's name, for the CPU's tests and the GPU's.
// The shapes of weighted layers are in kernel_cases.h.
#pragma once

#include <array>
#include <map>

#include "runtime/arithmetic.h"
#include "runtime/custom_op.h"
#include "runtime/function_of_one.h"
#include "runtime/graph.h"
#include "tests/kernel_cases.h"
#include "tests/kernel_sparse.h"

namespace octet::test {

struct PoolOwner {
  kernels::PoolParams params;
  std::vector<float> multiplier;
};

inline Case pool_case(const Kernel& reference, Random& random, Plane in, const Window& window, bool ceil_mode) {
  const std::string op = reference.op;
  const bool integer = op.ends_with("_s8"), average = op.starts_with("avg");
  auto owner = std::make_shared<PoolOwner>();
  kernels::PoolParams& p = owner->params;
  Case test;
  Plane out{.n = in.n, .c = in.c};
  REQUIRE(set_output_size(window, in, out, ceil_mode));
  slice(in, random), slice(out, random);
  p.window = window;
  p.count_include_pad = average && random.chance(0.5);
  if (integer) {
    in.type = random.chance(0.5) ? DType::u8 : DType::s8;
    const int lo = in.type == DType::u8 ? 0 : -128, hi = in.type == DType::u8 ? 255 : 127;
    fill_integers(in, random, lo, hi);
    p.zero_in = average ? random.between(lo, hi) : 0;
    out.type = average && random.chance(0.5) ? DType::u8 : in.type;
    p.lo = out.type == DType::u8 ? 0 : -127, p.hi = out.type == DType::u8 ? 255 : 127;
    p.zero_out = average ? random.between(p.lo, p.hi) : 0;
    const auto step = static_cast<float>(0.3 + random.unit());
    const int most = (window.kernel_h + window.pad_top) * (window.kernel_w + window.pad_left) * 4;
    for (int n = 1; n <= most; ++n) owner->multiplier.push_back(arithmetic::average_multiplier(step, 1.0f, n));
    p.multiplier = owner->multiplier.data(), p.multiplier_count = most;
  } else {
    in.type = out.type = DType::f32;
    fill_reals(in, random, 10.0);
    // Sums of up to k numbers of at most 10 (k roundings), the division and the reference's own rounding.
    const int k = window.kernel_h * window.kernel_w;
    if (average) test.bound.assign(out.elements(), (k + 3) * kUlp * 10.0 * 1.01);
  }
  test.name = fmt::format("{} ceil {}", describe(window, in, out), ceil_mode);
  test.inputs = {std::move(in)};
  test.output = std::move(out);
  test.params = std::shared_ptr<const void>(owner, &p);
  return test;
}

inline std::vector<Case> pools(const Kernel& reference, Random& random) {
  const bool average = std::string_view(reference.op).starts_with("avg");
  std::vector<Case> cases;
  while (cases.size() < 60) {
    Plane in{
        .n = random.between(1, 3), .h = random.between(1, 12), .w = random.between(1, 12), .c = random.between(1, 20)};
    if (random.chance(0.2)) in.c = random.between(60, 140);
    const Window w = random_window(random, 3, !average);
    Graph graph("one");  // says whether the window fits
    const EdgeId x = graph.input("x", Shape{in.c, in.h, in.w});
    const bool ceil_mode = random.chance(0.4);
    try {
      average ? graph.avg_pool("p", x, w, ceil_mode) : graph.max_pool("p", x, w, ceil_mode);
    } catch (const Error&) {
      continue;
    }
    cases.push_back(pool_case(reference, random, in, w, ceil_mode));
  }
  cases.push_back(pool_case(reference, random, {.n = 1, .h = 12, .w = 220, .c = 16}, Window::square(2, 2), false));
  cases.push_back(pool_case(reference, random, {.n = 2, .h = 23, .w = 23, .c = 8}, Window::square(2, 2), false));
  cases.push_back(pool_case(reference, random, {.n = 2, .h = 7, .w = 7, .c = 200}, Window::square(7), false));
  cases.push_back(pool_case(reference, random, {.n = 1, .h = 7, .w = 112, .c = 64}, Window::square(3, 2, 1), false));
  return cases;
}

inline Plane random_plane(Random& random, DType type) {
  Plane p{.type = type,
          .n = random.between(1, 3),
          .h = random.between(1, 6),
          .w = random.between(1, 6),
          .c = random.between(1, 20)};
  if (random.chance(0.2)) p.c = random.between(60, 140);
  slice(p, random);
  return p;
}
inline Plane like(const Plane& p, DType type, Random& random) {
  Plane q{.type = type, .n = p.n, .h = p.h, .w = p.w, .c = p.c};
  slice(q, random);
  return q;
}
inline void make_planar(Plane& p) { p.planar = true, p.channels_before = p.channels_after = 0; }

inline std::vector<Case> adds(const Kernel& reference, Random& random) {
  const bool integer = std::string_view(reference.op).ends_with("_s8");
  std::vector<Case> cases;
  for (int i = 0; i < 60; ++i) {
    auto p = std::make_shared<kernels::AddParams>();
    Case test;
    test.output = random_plane(random, integer ? (random.chance(0.5) ? DType::u8 : DType::s8) : DType::f32);
    if (i % 10 == 0) test.output.h = 2, test.output.w = 7, test.output.c = 64 * random.between(1, 4);  // ResNet50's
    const bool affine = test.output.type == DType::u8;
    p->lo = affine ? 0 : -127, p->hi = affine ? 255 : 127;
    p->zero_out = affine ? random.between(0, 255) : 0;
    if (random.chance(0.4)) p->lo = std::max(p->lo, p->zero_out);
    p->clamp_lo = random.chance(0.5) ? 0.0f : -kInfinity, p->clamp_hi = random.chance(0.2) ? 6.0f : kInfinity;
    const int count = random.between(1, integer ? kernels::AddParams::kMaxInputs : 4);
    for (int k = 0; k < count; ++k) {
      test.inputs.push_back(
          like(test.output, integer ? (random.chance(0.5) ? DType::u8 : DType::s8) : DType::f32, random));
      Plane& in = test.inputs.back();
      if (!integer) {
        fill_reals(in, random, 4.0);
        continue;
      }
      const bool is_unsigned = in.type == DType::u8;
      fill_integers(in, random, is_unsigned ? 0 : -128, is_unsigned ? 255 : 127);
      p->zero_in[k] = is_unsigned ? random.between(0, 255) : 0;
      p->multiplier[k] = arithmetic::add_multiplier(static_cast<float>(0.1 + random.unit()), 1.0f);
    }
    test.params = p;
    cases.push_back(std::move(test));
  }
  return cases;
}

inline std::vector<Case> quantisers(const Kernel&, Random& random) {
  std::vector<Case> cases;
  for (int i = 0; i < 60; ++i) {
    auto p = std::make_shared<kernels::QuantiseParams>();
    Case test;
    test.output = random_plane(random, random.chance(0.5) ? DType::u8 : DType::s8);
    const bool affine = test.output.type == DType::u8;
    p->lo = affine ? 0 : -127, p->hi = affine ? 255 : 127, p->zero = affine ? random.between(0, 255) : 0;
    p->step = static_cast<float>(0.01 + random.unit()), p->inverse = arithmetic::inverse_step(p->step);
    if (random.chance(0.3)) p->step = p->inverse = 0.5f;  // so that halves meet ties
    p->dead = random.chance(0.1);
    test.inputs = {like(test.output, DType::f32, random)};
    if (random.chance(0.5)) make_planar(test.inputs[0]);
    fill_reals(test.inputs[0], random, random.chance(0.5) ? 30 : 300);
    for (float& v : test.inputs[0].values) {
      if (random.chance(0.2)) v = std::nearbyint(v);
      if (random.chance(0.02)) v = random.chance(0.5) ? kInfinity : -kInfinity;
      if (random.chance(0.02)) v = random.chance(0.5) ? 1e-40f : -0.0f;
    }
    test.params = p;
    cases.push_back(std::move(test));
  }
  return cases;
}

inline std::vector<Case> dequantisers(const Kernel&, Random& random) {
  std::vector<Case> cases;
  for (int i = 0; i < 30; ++i) {
    auto p = std::make_shared<kernels::QuantiseParams>();
    Case test;
    test.inputs = {random_plane(random, random.chance(0.5) ? DType::u8 : DType::s8)};
    const bool affine = test.inputs[0].type == DType::u8;
    fill_integers(test.inputs[0], random, affine ? 0 : -128, affine ? 255 : 127);
    p->step = static_cast<float>(random.unit() + 0.01), p->zero = affine ? random.between(0, 255) : 0;
    test.output = like(test.inputs[0], DType::f32, random);
    if (random.chance(0.5)) make_planar(test.output);
    test.params = p;
    cases.push_back(std::move(test));
  }
  return cases;
}

inline std::vector<Case> affines(const Kernel& reference, Random& random) {
  const bool copies = std::string_view(reference.op) == "copy_f32";
  std::vector<Case> cases;
  for (int i = 0; i < 30; ++i) {
    struct Owner {
      kernels::AffineParams params;
      std::vector<float> scale, shift;
    };
    auto owner = std::make_shared<Owner>();
    Case test;
    test.inputs = {random_plane(random, DType::f32)};
    test.output = like(test.inputs[0], DType::f32, random);
    if (copies && random.chance(0.5)) make_planar(random.chance(0.5) ? test.inputs[0] : test.output);
    fill_reals(test.inputs[0], random, 4.0);
    owner->scale.resize(padded(test.output.c)), owner->shift.resize(padded(test.output.c));
    random.fill(owner->scale, 2.0), random.fill(owner->shift, 2.0);
    if (random.chance(0.7)) owner->params.scale = owner->scale.data(), owner->params.shift = owner->shift.data();
    owner->params.lo = random.chance(0.5) ? 0.0f : -kInfinity, owner->params.hi = random.chance(0.3) ? 6.0f : kInfinity;
    test.params = std::shared_ptr<const void>(owner, &owner->params);
    cases.push_back(std::move(test));
  }
  return cases;
}

inline std::vector<Case> lookups(const Kernel& reference, Random& random) {
  const bool bytes = std::string_view(reference.op) == "lookup_s8";
  std::vector<Case> cases;
  for (int i = 0; i < 30; ++i) {
    struct Owner {
      kernels::LookupParams params;
      std::vector<float> reals;
      std::vector<std::uint8_t> bytes;
    };
    auto owner = std::make_shared<Owner>();
    Case test;
    test.inputs = {random_plane(random, DType::u8)};
    test.inputs[0].c = random.between(1, 4), test.inputs[0].w = random.between(1, 40);
    if (i % 6 == 0) test.inputs[0].c = 3, test.inputs[0].w = random.between(64, 224);  // a photo's rows
    fill_integers(test.inputs[0], random, 0, 255);
    test.output = like(test.inputs[0], bytes ? (random.chance(0.5) ? DType::u8 : DType::s8) : DType::f32, random);
    if (i < 3) {  // whole photos
      Plane photo{.type = DType::u8, .n = 2, .h = 3 + i, .w = 4 + 16 * i, .c = 3};
      fill_integers(photo, random, 0, 255);
      test.output = {.type = test.output.type, .n = 2, .h = photo.h, .w = photo.w, .c = 3};
      test.inputs[0] = std::move(photo);
    }
    for (int k = 0; k < 256 * test.output.c; ++k) {
      owner->reals.push_back(random.real(3.0)), owner->bytes.push_back(static_cast<std::uint8_t>(random.bits()));
    }
    if (random.chance(0.5)) {  // one table for all channels
      for (std::size_t k = 256; k < owner->bytes.size(); ++k) owner->bytes[k] = owner->bytes[k % 256];
    }
    owner->params.table = bytes ? static_cast<const void*>(owner->bytes.data()) : owner->reals.data();
    test.params = std::shared_ptr<const void>(owner, &owner->params);
    cases.push_back(std::move(test));
  }
  return cases;
}

// Functions of one value: computed in float, looked up of 8 bits.
inline std::vector<Case> functions(const Kernel& reference, Random& random) {
  const bool bytes = std::string_view(reference.op) == "table_s8";
  std::vector<Case> cases;
  for (int i = 0; i < 30; ++i) {
    struct Owner {
      kernels::FunctionParams params;
      std::array<std::uint8_t, 256> table;
    };
    auto owner = std::make_shared<Owner>();
    const auto type = [&] { return !bytes ? DType::f32 : random.chance(0.5) ? DType::u8 : DType::s8; };
    Case test;
    test.inputs = {random_plane(random, type())};
    const bool is_unsigned = test.inputs[0].type == DType::u8;
    if (bytes) {
      fill_integers(test.inputs[0], random, is_unsigned ? 0 : -128, is_unsigned ? 255 : 127);
    } else {
      fill_reals(test.inputs[0], random, 8.0);
    }
    test.output = like(test.inputs[0], type(), random);
    for (std::uint8_t& entry : owner->table) entry = static_cast<std::uint8_t>(random.bits());
    owner->params = {static_cast<Function>(random.between(0, static_cast<int>(Function::clip))), random.real(0.5), 0.5f,
                     owner->table.data()};
    test.params = std::shared_ptr<const void>(owner, &owner->params);
    cases.push_back(std::move(test));
  }
  return cases;
}

inline std::vector<Case> products(const Kernel&, Random& random) {
  std::vector<Case> cases;
  for (int i = 0; i < 30; ++i) {
    Case test;
    test.inputs = {random_plane(random, DType::f32)};
    test.inputs.push_back(like(test.inputs[0], DType::f32, random));
    if (random.chance(0.5)) test.inputs[1].h = test.inputs[1].w = 1;
    for (Plane& in : test.inputs) fill_reals(in, random, 4.0);
    test.output = like(test.inputs[0], DType::f32, random);
    cases.push_back(std::move(test));
  }
  return cases;
}

inline std::vector<Case> softmaxes(const Kernel&, Random& random) {
  std::vector<Case> cases;
  for (int i = 0; i < 30; ++i) {
    auto p = std::make_shared<kernels::SoftmaxParams>();
    p->whole_image = random.chance(0.5);
    Case test;
    test.inputs = {random_plane(random, DType::f32)};
    fill_reals(test.inputs[0], random, 20.0);
    test.output = like(test.inputs[0], DType::f32, random);
    test.params = p;
    cases.push_back(std::move(test));
  }
  return cases;
}

// Some operation of a user's: bytes (x + 3 * y + c) of the first input and their sum with it.
inline std::vector<Case> customs(const Kernel& kernel, Random& random) {
  const bool bytes = std::string_view(kernel.op) == "custom_s8";
  std::vector<Case> cases;
  for (int i = 0; i < 10; ++i) {
    auto p = std::make_shared<kernels::CustomParams>();
    p->row = [](const void*, const StepArgs& args, std::int64_t n, std::int64_t y) {
      const View &in = args.inputs[0], &out = args.output;
      for (std::int64_t x = 0; x < out.w; ++x) {
        for (std::int64_t c = 0; c < out.c; ++c) {
          if (out.type == DType::f32) {
            *out.at<float>(n, y, x, c) = *in.at<float>(n, y, x, c) + static_cast<float>(x + 3 * y + c);
          } else {
            put_integer(out, n, y, x, c, integer_at(in, n, y, x, c) ^ static_cast<std::int32_t>(x + 3 * y + c));
          }
        }
      }
    };
    Case test;
    test.inputs = {random_plane(random, bytes ? DType::s8 : DType::f32)};
    bytes ? fill_integers(test.inputs[0], random, -127, 127) : fill_reals(test.inputs[0], random, 4.0);
    test.output = like(test.inputs[0], test.inputs[0].type, random);
    test.params = p;
    cases.push_back(std::move(test));
  }
  return cases;
}

inline std::vector<Case> resamples(const Kernel& reference, Random& random) {
  const bool bytes = std::string_view(reference.op) == "resample_s8";
  std::vector<Case> cases;
  for (int i = 0; i < 40; ++i) {
    auto p = std::make_shared<kernels::PoolParams>();
    Case test;
    test.inputs = {random_plane(random, !bytes ? DType::f32 : random.chance(0.5) ? DType::u8 : DType::s8)};
    Plane& in = test.inputs[0];
    in.h = random.between(1, 9), in.w = random.between(1, 9);
    const bool is_unsigned = in.type == DType::u8;
    if (bytes) {
      fill_integers(in, random, is_unsigned ? 0 : -128, is_unsigned ? 255 : 127);
      p->zero_in = random.between(is_unsigned ? 0 : -127, is_unsigned ? 255 : 127);
    } else {
      fill_reals(in, random, 4.0);
    }
    p->window.stride_h = random.between(1, 3), p->window.stride_w = random.between(1, 3);
    p->window.pad_top = random.between(0, 3), p->window.pad_left = random.between(0, 3);
    test.output = like(in, in.type, random);
    test.output.h = in.h * p->window.stride_h + p->window.pad_top + random.between(0, 3);
    test.output.w = in.w * p->window.stride_w + p->window.pad_left + random.between(0, 3);
    // Written from the input's side, which is not how the kernel goes about it.
    test.wanted.assign(test.output.elements(), static_cast<float>(p->zero_in));
    const auto at = [](const Plane& v, int n, int y, int x) {
      return ((static_cast<std::size_t>(n) * v.h + y) * v.w + x) * v.c;
    };
    for (int n = 0; n < in.n; ++n) {
      for (int y = 0; y < in.h * p->window.stride_h; ++y) {
        for (int x = 0; x < in.w * p->window.stride_w; ++x) {
          const auto from = in.values.begin() +
                            static_cast<std::ptrdiff_t>(at(in, n, y / p->window.stride_h, x / p->window.stride_w));
          std::copy(from, from + in.c,
                    test.wanted.begin() +
                        static_cast<std::ptrdiff_t>(at(test.output, n, y + p->window.pad_top, x + p->window.pad_left)));
        }
      }
    }
    test.params = p;
    cases.push_back(std::move(test));
  }
  return cases;
}

inline std::vector<Case> halos(const Kernel& reference, Random& random) {
  const bool bytes = std::string_view(reference.op) == "halo_s8";
  std::vector<Case> cases;
  for (int i = 0; i < 30; ++i) {
    auto p = std::make_shared<kernels::HaloParams>();
    Case test;
    test.output = random_plane(random, bytes ? (random.chance(0.5) ? DType::u8 : DType::s8) : DType::f32);
    *p = {random.between(0, 3), random.between(0, 3), random.between(0, 3), random.between(0, 3), 0};
    if (bytes) p->fill = test.output.type == DType::u8 ? random.between(0, 255) : random.between(-127, 127);
    test.fills = {p->top, p->left, p->bottom, p->right};
    test.pad_value = p->fill;
    test.border_only = true;
    test.params = p;
    cases.push_back(std::move(test));
  }
  return cases;
}

// The reference is the only kernel (planning makes convolutions of them), so these cases hold its promises about
// memory; its values are held to the interpreter's by the tests of whole graphs.
inline std::vector<Case> transposed(const Kernel& reference, Random& random) {
  std::vector<Case> cases;
  while (cases.size() < 30) {
    const Window w = random_window(random, 4, true);
    ConvShape s{random.between(1, 2), random.between(1, 5), random.between(1, 9), random.between(1, 9), 1, w};
    s.out_c = random.between(1, 20);
    const int h = (s.h - 1) * w.stride_h - w.pad_top - w.pad_bottom + w.span_h();
    const int v = (s.w - 1) * w.stride_w - w.pad_left - w.pad_right + w.span_w();
    if (h < 1 || v < 1) continue;
    cases.push_back(weighted_case(reference, random, s, std::int64_t{s.c} * w.kernel_h * w.kernel_w));
  }
  return cases;
}

using Maker = std::vector<Case> (*)(const Kernel&, Random&);
inline const std::map<std::string, Maker>& makers() {
  static const std::map<std::string, Maker> all = {
      {"conv2d_s8", [](const Kernel& k, Random& r) { return convolutions(k, r, false); }},
      {"conv2d_f32", [](const Kernel& k, Random& r) { return convolutions(k, r, false); }},
      {"conv_transpose2d_s8", transposed},
      {"conv_transpose2d_f32", transposed},
      {"depthwise_s8", [](const Kernel& k, Random& r) { return convolutions(k, r, true); }},
      {"depthwise_f32", [](const Kernel& k, Random& r) { return convolutions(k, r, true); }},
      {"linear_s8", linears},
      {"linear_f32", linears},
      {"max_pool_s8", pools},
      {"max_pool_f32", pools},
      {"avg_pool_s8", pools},
      {"avg_pool_f32", pools},
      {"add_s8", adds},
      {"add_f32", adds},
      {"quantise_s8", quantisers},
      {"dequantise_f32", dequantisers},
      {"affine_f32", affines},
      {"copy_f32", affines},
      {"lookup_s8", lookups},
      {"lookup_f32", lookups},
      {"function_f32", functions},
      {"table_s8", functions},
      {"mul_f32", products},
      {"softmax_f32", softmaxes},
      {"custom_f32", customs},
      {"custom_s8", customs},
      {"sparse_conv_s8", sparse_convolutions},
      {"sparse_conv_s16", sparse_convolutions},
      {"sparse_conv_f32", sparse_convolutions},
      {"to_dense_s8", dense_maps},
      {"to_dense_f32", dense_maps},
      {"quantise_s16", wide_quantisers},
      {"resample_s8", resamples},
      {"resample_f32", resamples},
      {"halo_s8", halos},
      {"halo_f32", halos},
  };
  return all;
}

inline const Kernel& reference_of(const std::string& op) {
  for (const Kernel* k : kernels::all_kernels()) {
    if (op == k->op && std::string_view(k->isa) == "reference") return *k;
  }
  fail("{} has no reference", op);
}

}  // namespace octet::test
