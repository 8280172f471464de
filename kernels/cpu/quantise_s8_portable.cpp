// quantise_s8_portable: rule 2. The caller's tensor is NCHW, the network's activations are NHWC: a row is quantised
// channel by channel, each a contiguous run of floats, into bytes that are a pixel apart.
#include "kernels/cpu/portable.h"

namespace octet::kernels {
namespace {

// One run of floats `step_in` apart to bytes `step_out` apart. Returns whether a NaN was among them.
bool quantise_run(const float* __restrict from, std::int64_t step_in, std::uint8_t* __restrict to,
                  std::int64_t step_out, std::int64_t count, const QuantiseParams& p) {
  std::int32_t nans = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = from[i * step_in];
    nans += value != value;
    to[i * step_out] = static_cast<std::uint8_t>(arithmetic::quantise(value, p.inverse, p.lo, p.hi, p.zero));
  }
  return nans != 0;
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  const auto& p = *static_cast<const QuantiseParams*>(args.params);
  bool nan = false;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t n = row / out.h, y = row % out.h;
    if (in.stride_c == 1) {
      for (std::int64_t x = 0; x < out.w; ++x) {
        nan |= quantise_run(in.at<float>(n, y, x), 1, out.at<std::uint8_t>(n, y, x), 1, out.c, p);
      }
      continue;
    }
    for (std::int64_t c = 0; c < out.c; ++c) {
      nan |=
          quantise_run(in.at<float>(n, y, 0, c), in.stride_w, out.at<std::uint8_t>(n, y, 0, c), out.stride_w, out.w, p);
    }
  }
  if (nan) __atomic_store_n(args.fault, 1, __ATOMIC_RELAXED);
}

const char* refuse(const StepArgs& args) {
  const bool dead = static_cast<const QuantiseParams*>(args.params)->dead;
  return dead ? "the edge is dead: every value is the zero point" : nullptr;
}

}  // namespace

extern const Kernel quantise_s8_portable;
const Kernel quantise_s8_portable = {
    .op = "quantise_s8", .isa = "portable", .refuse = refuse, .tiles = portable::rows, .run = run};

}  // namespace octet::kernels
