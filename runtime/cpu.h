// What the processor and the operating system offer, found once.
#pragma once

#include <string>

namespace octet {

struct CpuFeatures {  // of the machine that this process runs on
  std::string name;   // "Intel(R) Xeon(R) Processor"
  bool avx2 = false, avxvnni = false, avx512 = false, avx512vnni = false;
  bool amx_int8 = false;  // the tile unit exists; permission to use its registers is asked for by the kernels
  bool neon = false, neon_dotprod = false, neon_i8mm = false;
};

const CpuFeatures& cpu_features();  // found at the first call; thread-safe

// Asks the operating system, once per process, for the tile registers. Without its permission the first tile
// instruction ends the process.
bool amx_permitted();

}  // namespace octet
