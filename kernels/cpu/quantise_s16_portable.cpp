// quantise_s16_portable: rule 2 for a wide edge whose channels lie side by side, as a run of floats.
#include "kernels/cpu/portable.h"

namespace octet::kernels {
namespace {

const char* refuse(const StepArgs& args) {
  return args.inputs[0].stride_c == 1 ? nullptr : "the channels do not lie side by side";
}

void quantise(const float* __restrict from, std::int16_t* __restrict to, std::int64_t count, const QuantiseParams& p,
              std::int32_t* fault) {
  std::int32_t nan = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    nan |= from[i] != from[i];
    to[i] = static_cast<std::int16_t>(arithmetic::quantise(from[i], p.inverse, p.lo, p.hi, p.zero));
  }
  if (nan != 0) __atomic_store_n(fault, 1, __ATOMIC_RELAXED);
  if (!p.dead) return;
  for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<std::int16_t>(p.zero);
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View &in = args.inputs[0], &out = args.output;
  const auto& p = *static_cast<const QuantiseParams*>(args.params);
  const bool dense = in.stride_w == out.c && out.stride_w == out.c;
  const std::int64_t runs = dense ? 1 : out.w, length = dense ? std::int64_t{out.w} * out.c : out.c;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, y = row % out.h;
    for (std::int64_t x = 0; x < runs; ++x) {
      quantise(in.at<float>(n, y, x), out.at<std::int16_t>(n, y, x), length, p, args.fault);
    }
  }
}

}  // namespace

extern const Kernel quantise_s16_portable;
const Kernel quantise_s16_portable = {
    .op = "quantise_s16", .isa = "portable", .refuse = refuse, .tiles = portable::rows, .run = run};

}  // namespace octet::kernels
