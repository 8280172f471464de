// copy_f32_reference: the same values in another layout (NCHW of the caller to NHWC and back, a slice of a concat).
#include "kernels/reference/elementwise_f32.h"

namespace octet::kernels {
namespace {

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  reference::elementwise(args, first, last, [](auto input, std::int64_t) { return input(0); });
}

}  // namespace

extern const Kernel copy_f32_reference;
const Kernel copy_f32_reference = {
    .op = "copy_f32", .isa = "reference", .refuse = accept, .tiles = reference::rows, .run = run};

}  // namespace octet::kernels
