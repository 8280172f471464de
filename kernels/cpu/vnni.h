// What the kernels on vpdpbusd share, whatever their registers' width. The instruction multiplies unsigned inputs with
// signed weights, four at a time, and adds them to 32-bit sums without saturating (rule 5 forbids vpdpbusds).
//
// Signed inputs that may be negative are flipped to q + 128 as they are broadcast, and 128 * sum(w) is taken off again
// where the sums start; inputs behind a ReLU need neither. The head of the packed weights holds that compensation.
//
// Traits<Flip>: as direct_conv.h describes them, and flip(from, to): one vector of bytes.
#pragma once

#include "kernels/cpu/direct_conv.h"
#include "kernels/cpu/direct_deep.h"
#include "kernels/cpu/linear_direct.h"

namespace octet::kernels::vnni {

static inline bool flips(const StepArgs& args) {
  return args.inputs[0].type == DType::s8 && !static_cast<const ConvParams*>(args.params)->non_negative;
}

// The first part of the packed weights: one compensation a channel, zero where nothing is flipped.
static inline std::int64_t compensation_bytes(std::int64_t channels) { return (channels * 4 + 63) / 64 * 64; }
static inline void set_compensation(void* packed, std::int64_t channel, std::int64_t weight_sum) {
  static_cast<std::int32_t*>(packed)[channel] = static_cast<std::int32_t>(-128 * weight_sum);
}

// Templates of free functions, static: a class's members would be symbols that the linker may share between files.
template <template <bool> class Traits>
static void pack(const StepArgs& args, const void* weights, void* packed) {
  (flips(args) ? direct::pack<Traits<true>> : direct::pack<Traits<false>>)(args, weights, packed);
}

// A flat input is flipped once into scratch memory, not again for every pair of channel blocks.
template <template <bool> class Traits>
static bool flips_ahead(const StepArgs& args) {
  return flips(args) && direct::runs_flat(args) && args.output.c > 2 * Traits<true>::kLanes;
}

template <template <bool> class Traits>
static std::size_t scratch_bytes(const StepArgs& args) {
  if (!flips_ahead<Traits>(args)) return 0;
  return static_cast<std::size_t>(direct::input_span(args).count) + View::kReadableBeyond;
}

template <class Traits>
static void run_as(const StepArgs& args, std::int64_t first, std::int64_t last) {
  if constexpr (requires { Traits::kWideBlocks; }) {
    if (deep::suits<Traits>(args)) return deep::run<Traits>(args, first, last);
  }
  direct::run<Traits>(args, first, last, nullptr);
}

template <class Traits>
static std::int64_t tiles(const StepArgs& args) {
  if constexpr (requires { Traits::kWideBlocks; }) {
    if (deep::suits<Traits>(args)) return deep::tiles<Traits>(args);
  }
  return direct::tiles<Traits>(args);
}

template <template <bool> class Traits>
static void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  if (!flips(args)) return run_as<Traits<false>>(args, first, last);
  if (!flips_ahead<Traits>(args)) return run_as<Traits<true>>(args, first, last);
  const std::byte* from = args.inputs[0].data;
  const direct::Span span = direct::input_span(args);
  auto* to = static_cast<std::byte*>(scratch);
  constexpr std::int64_t kStep = 4 * Traits<true>::kLanes;  // less than a vector past the end is readable
  for (std::int64_t i = 0; i < span.count; i += kStep) Traits<true>::flip(from + span.first + i, to + i);
  run_as<Traits<false>>(direct::Redirected(args, to - span.first).args, first, last);
}

template <template <bool> class Traits>
static constexpr Kernel convolution(const char* isa) {
  return {.op = "conv2d_s8",
          .isa = isa,
          .refuse = direct::refuse,
          .tiles = tiles<Traits<false>>,
          .run = run<Traits>,
          .packed_bytes = direct::packed_bytes<Traits<false>>,
          .pack = pack<Traits>,
          .scratch_bytes = scratch_bytes<Traits>,
          .reads_halo = true,
          .fuses_max_pool = true,
          .fuses_add = true,
          .tile = direct::tile<Traits<false>>};
}

template <template <bool> class Traits>
static void linear_pack(const StepArgs& args, const void* weights, void* packed) {
  (flips(args) ? direct::linear_pack<Traits<true>> : direct::linear_pack<Traits<false>>)(args, weights, packed);
}

template <template <bool> class Traits>
static void linear_run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  (flips(args) ? direct::linear_run<Traits<true>> : direct::linear_run<Traits<false>>)(args, first, last, scratch);
}

template <template <bool> class Traits>
static constexpr Kernel linear(const char* isa) {
  return {.op = "linear_s8",
          .isa = isa,
          .refuse = refuse_notebook,
          .tiles = direct::linear_tiles<Traits<false>>,
          .run = linear_run<Traits>,
          .packed_bytes = direct::linear_packed_bytes<Traits<false>>,
          .pack = linear_pack<Traits>,
          .scratch_bytes = direct::linear_scratch_bytes<Traits<false>>};
}

}  // namespace octet::kernels::vnni
