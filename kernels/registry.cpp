#include "kernels/registry.h"

#include "runtime/error.h"

namespace octet::kernels {

#define OCTET_VARIANT(op, isa) extern const Kernel op##_##isa;
#include "kernels/variants.def"
#undef OCTET_VARIANT

namespace {

const Kernel* const kKernels[] = {
#define OCTET_VARIANT(op, isa) &op##_##isa,
#include "kernels/variants.def"
#undef OCTET_VARIANT
};

}  // namespace

std::span<const Kernel* const> all_kernels() { return kKernels; }

std::string name_of(const Kernel& kernel) { return fmt::format("{}_{}", kernel.op, kernel.isa); }

Isa isa_of(const Kernel& kernel) { return isa_named(kernel.isa); }

Choice choose(std::string_view op, Isa level, const StepArgs& args) {
  Choice choice;
  const auto kernels = all_kernels();
  for (auto it = kernels.rbegin(); it != kernels.rend(); ++it) {
    const Kernel& kernel = **it;
    // The reference of an operation serves every level that has nothing faster.
    if (kernel.op != op || !includes(level, isa_of(kernel))) continue;
    if (const char* reason = kernel.refuse(args)) {
      choice.note += fmt::format("{}{}: {}", choice.note.empty() ? "" : "; ", kernel.isa, reason);
      continue;
    }
    choice.kernel = &kernel;
    return choice;
  }
  fail("no kernel for {} at the level {}{}{}", op, name_of(level), choice.note.empty() ? "" : ": ", choice.note);
}

}  // namespace octet::kernels
