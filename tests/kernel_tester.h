// Runs one kernel on one case and shows whether it keeps its promises: the reference's values, nothing written outside
// of its view, nothing read outside of its input and the halo it asked for, and the same bytes however its tiles are
// split. Test files hold shapes only; everything that can go wrong is looked for here.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/registry.h"
#include "tests/random_graph.h"

namespace octet::test {

using kernels::Kernel;

// An activation of a case: logical NHWC values, and how to lay them out.
struct Plane {
  DType type = DType::s8;
  int n = 1, h = 1, w = 1, c = 1;
  int channels_before = 0, channels_after = 0;  // a slice of a wider tensor: stride_w > c
  bool planar = false;                          // NCHW, as the caller's tensors are
  std::vector<float> values;                    // integers are held exactly

  std::size_t elements() const { return static_cast<std::size_t>(n) * h * w * c; }
};

struct Border {
  int top = 0, left = 0, bottom = 0, right = 0;
};

struct Case {
  std::string name;
  std::vector<Plane> inputs;
  Plane output;
  std::shared_ptr<const void> params;
  std::function<void(const void* packed)> set_weights;  // where the packed weights go; null without weights
  Tensor weights;                                       // s8 or f32, in PyTorch's order
  int pad_value = 0;                                    // what a halo holds
  Border needed;                                        // the halo that the window needs
  bool border_only = false;                             // halo_*: the kernel writes `fills` and no element
  Border fills;
  std::vector<double> bound;  // f32: how far each output may be from the reference's
  std::vector<float> wanted;  // instead of the reference's values, when not empty
};

// Memory of one activation: guards on both sides, a border, a pixel stride; all but the elements holds `poison`.
class Laid {
 public:
  Laid(const Plane& p, const Border& border, std::uint8_t poison) : poison_(poison) {
    View& v = view;
    v.type = p.type, v.n = p.n, v.h = p.h, v.w = p.w, v.c = p.c;
    if (p.planar) {
      v.stride_w = 1, v.stride_h = p.w, v.stride_c = std::int64_t{p.h} * p.w, v.stride_n = v.stride_c * p.c;
    } else {
      v.stride_c = 1, v.stride_w = p.channels_before + p.c + p.channels_after;
      v.stride_h = v.stride_w * (p.w + border.left + border.right);
      v.stride_n = v.stride_h * (p.h + border.top + border.bottom);
    }
    const std::int64_t origin = border.top * v.stride_h + border.left * v.stride_w + p.channels_before;
    const auto size = static_cast<std::size_t>(v.stride_n * p.n * size_of(p.type));
    bytes_.assign(kGuard + size + kGuard, std::byte{poison});
    v.data = bytes_.data() + kGuard + origin * size_of(p.type);
  }
  Laid(const Laid&) = delete;

  template <class Visit>
  void each(Visit visit) const {  // (element address, index in NHWC order)
    std::size_t i = 0;
    for (std::int64_t n = 0; n < view.n; ++n) {
      for (std::int64_t y = 0; y < view.h; ++y) {
        for (std::int64_t x = 0; x < view.w; ++x) {
          for (std::int64_t c = 0; c < view.c; ++c) visit(address(n, y, x, c), i++);
        }
      }
    }
  }
  // Every element of the border, of the view's channels alone.
  template <class Visit>
  void each_border(const Border& b, Visit visit) const {
    for (std::int64_t n = 0; n < view.n; ++n) {
      for (std::int64_t y = -b.top; y < view.h + b.bottom; ++y) {
        for (std::int64_t x = -b.left; x < view.w + b.right; ++x) {
          if (y >= 0 && y < view.h && x >= 0 && x < view.w) continue;
          for (std::int64_t c = 0; c < view.c; ++c) visit(address(n, y, x, c));
        }
      }
    }
  }
  std::byte* address(std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c) const {
    const std::int64_t e = n * view.stride_n + y * view.stride_h + x * view.stride_w + c * view.stride_c;
    return view.data + e * size_of(view.type);
  }
  void put(std::byte* to, float value) const {
    const auto as = [&](auto integer) { std::memcpy(to, &integer, sizeof integer); };
    if (view.type == DType::f32) {
      as(value);
    } else if (view.type == DType::s16) {
      as(static_cast<std::int16_t>(value));
    } else if (view.type == DType::s32) {
      as(static_cast<std::int32_t>(value));
    } else if (view.type == DType::s64) {
      as(static_cast<std::int64_t>(value));
    } else {
      *to = static_cast<std::byte>(static_cast<int>(value));
    }
  }
  void fill(const std::vector<float>& values) const {
    each([&](std::byte* at, std::size_t i) { put(at, values[i]); });
  }
  std::vector<float> read() const {
    std::vector<float> values;
    each([&](std::byte* at, std::size_t) {
      float value = 0;
      if (view.type == DType::f32) std::memcpy(&value, at, sizeof value);
      const auto as = [&](auto integer) {
        std::memcpy(&integer, at, sizeof integer);
        value = static_cast<float>(integer);
      };
      if (view.type == DType::s16) as(std::int16_t{});
      if (view.type == DType::s32) as(std::int32_t{});
      if (view.type == DType::s64) as(std::int64_t{});
      if (view.type == DType::u8) value = static_cast<float>(std::to_integer<int>(*at));
      if (view.type == DType::s8) value = static_cast<float>(static_cast<std::int8_t>(*at));
      values.push_back(value);
    });
    return values;
  }
  // Whether every byte outside of the view (and of the border that may be written) still holds the poison.
  bool clean_outside(const Border& may_write) const {
    std::vector<std::byte> copy = bytes_;
    const auto wipe = [&](const std::byte* at) {
      std::memset(copy.data() + (at - bytes_.data()), poison_, static_cast<std::size_t>(size_of(view.type)));
    };
    each([&](std::byte* at, std::size_t) { wipe(at); });
    each_border(may_write, wipe);
    return std::ranges::all_of(copy, [&](std::byte b) { return b == std::byte{poison_}; });
  }
  // All of it, guards and borders included: for tests that copy it to a device and back.
  std::span<std::byte> memory() { return bytes_; }
  View view;

 private:
  static constexpr std::size_t kGuard = 128;
  std::uint8_t poison_;
  std::vector<std::byte> bytes_;
};

// Memory that a kernel may use to the last byte and no further: 64-byte aligned, garbage at first, guarded behind.
class Guarded {
 public:
  explicit Guarded(std::size_t size) : size_(size), memory_(DType::u8, Shape{static_cast<std::int64_t>(size) + 64}) {
    std::memset(memory_.raw(), 0xA7, size + 64);
  }
  std::byte* data() { return memory_.raw(); }
  void spoil() { std::memset(memory_.raw(), 0x5C, size_); }
  bool intact() const {
    return std::all_of(memory_.raw() + size_, memory_.raw() + size_ + 64,
                       [](std::byte b) { return b == std::byte{0xA7}; });
  }

 private:
  std::size_t size_;
  Tensor memory_;
};

struct Outcome {
  std::vector<float> values;
  std::string error;  // empty: every promise but the values themselves was kept
};

// `split`: 0 runs all tiles at once; otherwise a seed for random chunks in random order, each with spoilt scratch.
inline Outcome run_kernel(const Kernel& kernel, const Case& test, std::uint8_t poison, std::uint64_t split) {
  Outcome outcome;
  std::vector<std::unique_ptr<Laid>> inputs;
  std::vector<View> views;
  for (const Plane& plane : test.inputs) {
    const bool halo = kernel.reads_halo && !plane.planar;
    inputs.push_back(std::make_unique<Laid>(plane, halo ? test.needed : Border{}, poison));
    inputs.back()->fill(plane.values);
    if (halo) {
      inputs.back()->each_border(test.needed,
                                 [&](std::byte* at) { inputs.back()->put(at, static_cast<float>(test.pad_value)); });
    }
    views.push_back(inputs.back()->view);
  }
  const Laid output(test.output, test.fills, static_cast<std::uint8_t>(poison ^ 0x33));
  std::int32_t fault = 0;
  const StepArgs args{views.data(), static_cast<std::int32_t>(views.size()), output.view, test.params.get(), &fault};

  std::unique_ptr<Guarded> packed;
  if (test.set_weights) {
    packed = std::make_unique<Guarded>(kernel.packed_bytes(args));
    kernel.pack(args, test.weights.raw(), packed->data());
    test.set_weights(packed->data());
  }
  Guarded scratch(kernel.scratch_bytes == nullptr ? 0 : kernel.scratch_bytes(args));
  const std::int64_t tiles = kernel.tiles(args);
  std::vector<std::pair<std::int64_t, std::int64_t>> chunks{{0, tiles}};
  if (split != 0) {
    chunks.clear();
    Random random(split);
    for (std::int64_t from = 0; from < tiles;) {
      const std::int64_t to = std::min<std::int64_t>(tiles, from + random.between(1, static_cast<int>(1 + tiles / 3)));
      chunks.push_back({from, to});
      from = to;
    }
    for (std::size_t i = chunks.size(); i > 1; --i) {
      std::swap(chunks[i - 1], chunks[static_cast<std::size_t>(random.between(0, static_cast<int>(i) - 1))]);
    }
  }
  for (const auto& [from, to] : chunks) {
    scratch.spoil();
    kernel.run(args, from, to, scratch.data());
  }

  outcome.values = output.read();
  if (fault != 0) outcome.error = "a NaN was reported";
  if (!scratch.intact()) outcome.error = "it wrote behind its scratch memory";
  if (packed && !packed->intact()) outcome.error = "pack() wrote behind the packed weights";
  if (!output.clean_outside(test.fills)) outcome.error = "it wrote outside of its output";
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i]->clean_outside(kernel.reads_halo ? test.needed : Border{}) ||
        inputs[i]->read() != test.inputs[i].values) {
      outcome.error = "it changed its input";
    }
  }
  // A border that the kernel should fill, and the interior that it should leave alone.
  if (test.border_only) {
    output.each([&](std::byte* at, std::size_t) {
      if (*at != std::byte{static_cast<std::uint8_t>(poison ^ 0x33)}) outcome.error = "it touched the interior";
    });
    outcome.values.clear();
  }
  output.each_border(test.fills, [&](std::byte* at) {
    Plane one{.type = test.output.type};
    std::byte wanted[4] = {};
    Laid(one, {}, 0).put(wanted, static_cast<float>(test.pad_value));
    if (std::memcmp(wanted, at, static_cast<std::size_t>(size_of(one.type))) != 0) outcome.error = "a wrong halo";
  });
  return outcome;
}

// What a kernel has to give: computed once for all variants, since the reference is slow.
inline Outcome wanted_of(const Kernel& reference, const Case& test) {
  if (!test.wanted.empty()) return {test.wanted, ""};
  Outcome wanted = run_kernel(reference, test, 0xFF, 0);  // 0xFF bytes are NaNs as floats
  if (!wanted.error.empty()) wanted.error = "the reference: " + wanted.error;
  return wanted;
}

// The first broken promise of `kernel` on `test`; empty when it keeps them all.
inline std::string examine(const Kernel& kernel, const Outcome& wanted, const Case& test) {
  if (!wanted.error.empty()) return wanted.error;
  const struct {
    std::uint8_t poison;
    std::uint64_t split;
  } ways[] = {{0xFF, 0}, {0x5A, 1}, {0x00, 77}};
  for (const auto& way : ways) {
    const Outcome made = run_kernel(kernel, test, way.poison, way.split);
    if (!made.error.empty()) return made.error;
    if (made.values.size() != wanted.values.size()) return "another number of values";
    for (std::size_t i = 0; i < wanted.values.size(); ++i) {
      const double bound = test.bound.empty() ? 0.0 : test.bound[i];
      const double off = std::fabs(static_cast<double>(made.values[i]) - static_cast<double>(wanted.values[i]));
      if (!(off <= bound) && made.values[i] != wanted.values[i]) {
        return fmt::format("[{}] is {}, the reference has {} (poison {:#x}, split {})", i, made.values[i],
                           wanted.values[i], way.poison, way.split);
      }
    }
  }
  return "";
}

}  // namespace octet::test
