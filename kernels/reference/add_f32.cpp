// add_f32_reference: the inputs summed left to right, then the activation's clamp.
#include "kernels/reference/elementwise_f32.h"

namespace octet::kernels {
namespace {

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const auto& p = *static_cast<const AddParams*>(args.params);
  reference::elementwise(args, first, last, [&](auto input, std::int64_t) {
    float sum = input(0);
    for (std::int32_t i = 1; i < args.input_count; ++i) sum = sum + input(i);
    return arithmetic::clamp_real(sum, p.clamp_lo, p.clamp_hi);
  });
}

}  // namespace

extern const Kernel add_f32_reference;
const Kernel add_f32_reference = {
    .op = "add_f32", .isa = "reference", .refuse = accept, .tiles = reference::rows, .run = run};

}  // namespace octet::kernels
