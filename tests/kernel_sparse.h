// Cases of the sparse kernels: random kernel maps (any map is one of some cloud), no rows at all, odd channels, slices.
#pragma once

#include <set>

#include "runtime/quant_params.h"
#include "tests/kernel_cases.h"

namespace octet::test {

struct SparseShape {
  int rows_in, rows_out, taps, c, out_c;
  double share;  // of neighbours that are there
};

// [taps][rows_out] of s32: the planar Plane's layout.
inline Plane random_map(Random& random, const SparseShape& s) {
  Plane map{.type = DType::s32, .w = s.rows_out, .c = s.taps, .planar = true};
  std::vector<bool> tap_used;  // some taps have no neighbour in any row
  for (int tap = 0; tap < s.taps; ++tap) tap_used.push_back(!random.chance(0.2));
  for (int row = 0; row < s.rows_out; ++row) {
    for (int tap = 0; tap < s.taps; ++tap) {
      const bool there = s.rows_in > 0 && tap_used[static_cast<std::size_t>(tap)] && random.chance(s.share);
      map.values.push_back(there ? static_cast<float>(random.between(0, s.rows_in - 1)) : -1.0f);
    }
  }
  return map;
}

inline Case sparse_case(const Kernel& reference, Random& random, const SparseShape& s) {
  const std::string op = reference.op;
  auto owner = std::make_shared<ConvOwner>();
  Case test;
  test.inputs = {{.w = s.rows_in, .c = s.c}, random_map(random, s)};
  test.output = {.w = s.rows_out, .c = s.out_c};
  slice(test.inputs[0], random), slice(test.output, random);
  const std::int64_t depth = std::int64_t{s.taps} * s.c;
  owner->params.taps = s.taps;
  if (op.ends_with("_f32")) {
    real_parts(test, *owner, random, depth);
  } else {
    integer_parts(test, *owner, random, depth);
  }
  if (op.ends_with("_s16")) {
    kernels::ConvParams& p = owner->params;
    test.inputs[0].type = DType::s16;
    for (float& v : test.inputs[0].values) {
      v = static_cast<float>(random.chance(0.05) ? (random.chance(0.5) ? 1 : -1) * QuantParams::kWide
                                                 : random.between(-QuantParams::kWide, QuantParams::kWide));
    }
    p.zero_in = 0, p.seven_bits = p.non_negative = p.epilogue.fits_int32 = false;
    for (float& m : owner->multiplier) m /= 128;
  }
  test.params = std::shared_ptr<const void>(owner, &owner->params);
  test.set_weights = [owner](const void* packed) { owner->params.weights = packed; };
  if (op.ends_with("_f32")) bound_reals(reference, test, *owner, depth);
  test.name = fmt::format("{} rows of {} -> {} of {}, {} taps, {:.2f} there, form {}", s.rows_in, s.c, s.rows_out,
                          s.out_c, s.taps, s.share, static_cast<int>(owner->params.epilogue.form));
  return test;
}

inline std::vector<Case> sparse_convolutions(const Kernel& reference, Random& random) {
  std::vector<SparseShape> shapes = {
      {0, 0, 27, 5, 16, 0.3},    {3, 0, 27, 16, 16, 0.3},      {0, 5, 8, 16, 16, 0.3},
      {90, 90, 27, 5, 16, 0.3},  {200, 300, 27, 16, 16, 0.3},  {150, 80, 27, 16, 32, 0.4},
      {80, 70, 27, 64, 64, 0.3}, {70, 150, 27, 128, 128, 0.5}, {40, 30, 3, 128, 128, 0.9}};
  for (int i = 0; i < 40; ++i) {
    shapes.push_back({random.between(1, 90), random.between(1, 150), random.between(1, 27), random.between(1, 40),
                      random.between(1, 40), random.unit()});
    if (random.chance(0.2)) shapes.back().c = random.between(60, 140);
    if (random.chance(0.2)) shapes.back().out_c = random.between(60, 140);
  }
  std::vector<Case> cases;
  for (const SparseShape& s : shapes) cases.push_back(sparse_case(reference, random, s));
  return cases;
}

inline std::vector<Case> dense_maps(const Kernel& reference, Random& random) {
  const bool integer = std::string_view(reference.op).ends_with("_s8");
  std::vector<Case> cases;
  for (int i = 0; i < 20; ++i) {
    const int depth = random.between(1, 4);
    Case test;
    test.output = {.n = random.between(1, 3), .h = random.between(1, 9), .w = random.between(1, 9)};
    std::set<int> keys;
    const int cells = test.output.n * test.output.h * test.output.w * depth;
    for (int k = random.between(0, cells / 2); k > 0; --k) keys.insert(random.between(0, cells - 1));
    Plane in{.w = static_cast<int>(keys.size()), .c = random.between(1, 70)};
    Plane sites{.type = DType::s64, .w = in.w, .values = {keys.begin(), keys.end()}};
    test.output.c = in.c * depth;
    slice(in, random), slice(test.output, random);
    auto params = std::make_shared<kernels::ToDenseParams>();
    params->depth = depth;
    if (integer) {
      in.type = test.output.type = random.chance(0.5) ? DType::u8 : DType::s8;
      params->fill = in.type == DType::u8 ? random.between(0, 255) : 0;
      fill_integers(in, random, in.type == DType::u8 ? 0 : -127, in.type == DType::u8 ? 255 : 127);
    } else {
      in.type = test.output.type = DType::f32;
      fill_reals(in, random, 3.0);
    }
    test.name = fmt::format("{} sites of {}, depth {}", in.w, in.c, depth);
    test.inputs = {std::move(in), std::move(sites)};
    test.params = params;
    cases.push_back(std::move(test));
  }
  return cases;
}

inline std::vector<Case> wide_quantisers(const Kernel&, Random& random) {
  std::vector<Case> cases;
  for (int i = 0; i < 20; ++i) {
    Case test;
    Plane in{.type = DType::f32, .w = random.between(0, 90), .c = random.between(1, 9)};
    fill_reals(in, random, 60.0);
    auto params = std::make_shared<kernels::QuantiseParams>();
    params->lo = -QuantParams::kWide, params->hi = QuantParams::kWide;
    params->step = static_cast<float>(0.001 + random.unit() * 0.01), params->inverse = 1.0f / params->step;
    params->dead = random.chance(0.1);
    test.output = {.type = DType::s16, .w = in.w, .c = in.c};
    test.inputs = {std::move(in)};
    test.params = params;
    cases.push_back(std::move(test));
  }
  return cases;
}

}  // namespace octet::test
