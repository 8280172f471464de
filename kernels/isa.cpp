#include "kernels/isa.h"

#include <fmt/format.h>
#include <algorithm>
#include <cstdlib>

#include "kernels/registry.h"
#include "runtime/cpu.h"
#include "runtime/error.h"

namespace octet::kernels {
namespace {

constexpr const char* kNames[] = {"reference",  "portable", "avx2", "avxvnni",      "avx512",
                                  "avx512vnni", "amx",      "neon", "neon_dotprod", "neon_i8mm"};

bool is_x86(Isa isa) { return isa >= Isa::avx2 && isa <= Isa::amx; }
bool is_arm(Isa isa) { return isa >= Isa::neon; }

}  // namespace

const char* name_of(Isa isa) { return kNames[static_cast<int>(isa)]; }

Isa isa_named(std::string_view name) {
  const auto* found = std::ranges::find(kNames, name);
  require(found != std::end(kNames), "unknown instruction set '{}': {} exist", name,
          fmt::join(std::begin(kNames), std::end(kNames), ", "));
  return static_cast<Isa>(found - std::begin(kNames));
}

bool supported(Isa isa) {
  const CpuFeatures& cpu = cpu_features();
  switch (isa) {
    case Isa::reference:
    case Isa::portable:
      return true;
    case Isa::avx2:
      return cpu.avx2;
    case Isa::avxvnni:
      return cpu.avxvnni;
    case Isa::avx512:
      return cpu.avx512;
    case Isa::avx512vnni:
      return cpu.avx512vnni;
    case Isa::amx:
      return cpu.amx_int8 && amx_permitted();
    case Isa::neon:
      return cpu.neon;
    case Isa::neon_dotprod:
      return cpu.neon_dotprod;
    case Isa::neon_i8mm:
      return cpu.neon_i8mm;
  }
  return false;
}

bool includes(Isa level, Isa kernel) {
  if (kernel > level) return false;
  if (level == Isa::reference) return kernel == Isa::reference;
  // avxvnni is not below avx512: processors with AVX512-VNNI need not have the VEX form.
  if (kernel == Isa::avxvnni) return level == Isa::avxvnni;
  return !(is_arm(level) && is_x86(kernel));
}

std::vector<Isa> available_isas() {
  std::vector<Isa> found;
  for (int i = 0; i < static_cast<int>(std::size(kNames)); ++i) {
    const Isa isa = static_cast<Isa>(i);
    const bool built = std::ranges::any_of(all_kernels(), [&](const Kernel* k) { return isa_of(*k) == isa; });
    if (built && supported(isa)) found.push_back(isa);
  }
  return found;
}

Isa chosen_isa() {
  const std::vector<Isa> available = available_isas();
  const char* forced = std::getenv("OCTET_ISA");
  if (forced == nullptr || *forced == '\0') return available.back();
  const Isa isa = isa_named(forced);
  if (std::ranges::find(available, isa) != available.end()) return isa;
  std::string list;
  for (const Isa a : available) list += fmt::format("{}{}", list.empty() ? "" : ", ", name_of(a));
  fail("OCTET_ISA={}: this machine and build have {}", forced, list);
}

}  // namespace octet::kernels
