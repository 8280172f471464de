// max_pool_s8_portable: see max_pool_portable.h.
#include "kernels/cpu/max_pool_portable.h"

namespace octet::kernels {
namespace {

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  const bool is_unsigned = args.inputs[0].type == DType::u8;
  (is_unsigned ? portable::max_pool<std::uint8_t> : portable::max_pool<std::int8_t>)(args, first, last, scratch);
}

}  // namespace

extern const Kernel max_pool_s8_portable;
const Kernel max_pool_s8_portable = {
    .op = "max_pool_s8", .isa = "portable", .refuse = accept, .tiles = portable::rows, .run = run};

}  // namespace octet::kernels
