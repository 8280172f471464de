// Instruction-set levels: which kernels a Program may use. OCTET_ISA forces one; otherwise the best this machine has.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace octet::kernels {

// From the slowest to the fastest of each architecture. A level includes the kernels of all levels below it that the
// architecture has. `reference` is the readable oracle alone; `portable` is what any compiler makes of plain loops.
enum class Isa : int { reference, portable, avx2, avxvnni, avx512, avx512vnni, amx, neon, neon_dotprod, neon_i8mm };

const char* name_of(Isa isa);  // as OCTET_ISA says it
// Throws Error that lists what exists.
Isa isa_named(std::string_view name);

// Whether this machine and operating system can run the level's instructions.
bool supported(Isa isa);
// The levels that this machine has and for which this build holds at least one kernel, slowest first.
std::vector<Isa> available_isas();
// Levels below or equal to `level` on the same architecture: the kernels a program of that level may fall back to.
bool includes(Isa level, Isa kernel);
// OCTET_ISA when it is set (throws Error when it is unknown or this machine lacks it), otherwise the best available.
Isa chosen_isa();

}  // namespace octet::kernels
