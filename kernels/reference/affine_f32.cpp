// affine_f32_reference: x * scale[c] + shift[c], then the activation's clamp. A batch-norm by itself, or a lone ReLU.
#include "kernels/reference/elementwise_f32.h"

namespace octet::kernels {
namespace {

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const auto& p = *static_cast<const AffineParams*>(args.params);
  reference::elementwise(args, first, last, [&](auto input, std::int64_t c) {
    const float value = p.scale == nullptr ? input(0) : input(0) * p.scale[c] + p.shift[c];
    return arithmetic::clamp_real(value, p.lo, p.hi);
  });
}

}  // namespace

extern const Kernel affine_f32_reference;
const Kernel affine_f32_reference = {
    .op = "affine_f32", .isa = "reference", .refuse = accept, .tiles = reference::rows, .run = run};

}  // namespace octet::kernels
