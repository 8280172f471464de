// function_f32_reference: a function of one value, computed in double and rounded once.
#include "kernels/reference/elementwise_f32.h"
#include "runtime/function_of_one.h"

namespace octet::kernels {
namespace {

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const auto& p = *static_cast<const FunctionParams*>(args.params);
  reference::elementwise(args, first, last, [&](auto input, std::int64_t) {
    return static_cast<float>(apply(p.function, p.alpha, p.beta, input(0)));
  });
}

}  // namespace

extern const Kernel function_f32_reference;
const Kernel function_f32_reference = {
    .op = "function_f32", .isa = "reference", .refuse = accept, .tiles = reference::rows, .run = run};

}  // namespace octet::kernels
