#include "kernels/cuda/registry.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "runtime/error.h"

namespace octet::kernels::cuda {

#ifdef OCTET_HAS_CUDA
#define OCTET_CUDA_VARIANT(op, name) extern const Kernel op##_##name;
#include "kernels/cuda/variants.def"
#undef OCTET_CUDA_VARIANT
#endif

namespace {

const std::vector<const Kernel*>& table() {
  static const std::vector<const Kernel*> kernels = {
#ifdef OCTET_HAS_CUDA
#define OCTET_CUDA_VARIANT(op, name) &op##_##name,
#include "kernels/cuda/variants.def"
#undef OCTET_CUDA_VARIANT
#endif
  };
  return kernels;
}

// Whether `name` is one of the comma-separated names in `list`.
bool listed(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (list.substr(0, comma) == name) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

}  // namespace

std::span<const Kernel* const> all_kernels() { return table(); }

std::string name_of(const Kernel& kernel) { return fmt::format("{}_{}", kernel.op, kernel.name); }

bool supported(const Kernel& kernel, const Gpu& gpu) {
  return gpu.capability() >= kernel.lowest_capability && gpu.capability() <= kernel.highest_capability;
}

Choice choose(std::string_view op, const Gpu& gpu, const StepArgs& args) {
  const char* wanted = std::getenv("OCTET_CUDA_KERNELS");
  const bool any_wanted =
      wanted != nullptr && std::ranges::any_of(table(), [&](const Kernel* k) {
        return k->op == op && listed(wanted, k->name) && supported(*k, gpu) && k->refuse(args, gpu) == nullptr;
      });
  Choice choice;
  for (auto it = table().rbegin(); it != table().rend(); ++it) {
    const Kernel& kernel = **it;
    if (kernel.op != op || !supported(kernel, gpu)) continue;
    if (any_wanted && !listed(wanted, kernel.name)) continue;
    if (const char* reason = kernel.refuse(args, gpu)) {
      choice.note += fmt::format("{}{}: {}", choice.note.empty() ? "" : "; ", kernel.name, reason);
      continue;
    }
    choice.kernel = &kernel;
    choice.config = kernel.configure == nullptr ? 0 : kernel.configure(args, gpu);
    return choice;
  }
  fail("no CUDA kernel for {} on {} (compute capability {}.{}){}{}", op, gpu.name, gpu.major, gpu.minor,
       choice.note.empty() ? "" : ": ", choice.note);
}

}  // namespace octet::kernels::cuda
