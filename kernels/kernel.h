// Kernel: one variant of one operation, as plain data. Each file in reference/ and cpu/ defines exactly one constant
//     extern const Kernel conv2d_s8_portable;
// named after its row in variants.def: operation, element type, instruction set. "s8" names the 8-bit integer path; the
// activations of such a kernel may be s8 or u8 (View::type says which), its weights are always s8.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/params.h"
#include "runtime/view.h"

namespace octet::kernels {

// The block of the output whose sums a kernel has in registers at a time, for `octet plan`.
struct Tile {
  std::int32_t pixels = 0, channels = 0;
};

struct Kernel {
  const char* op;   // "conv2d_s8"
  const char* isa;  // "portable"
  // nullptr when this kernel can run the step; otherwise the reason, which `octet plan` shows. Never null itself.
  const char* (*refuse)(const StepArgs& args);
  // How the step splits into independent parts of its output.
  std::int64_t (*tiles)(const StepArgs& args);
  StepFunction run;

  // Only for kernels with weights: pack() writes packed_bytes() bytes from weights in PyTorch's order [O, C/g, kh, kw].
  std::size_t (*packed_bytes)(const StepArgs& args) = nullptr;
  void (*pack)(const StepArgs& args, const void* weights, void* packed) = nullptr;
  std::size_t (*scratch_bytes)(const StepArgs& args) = nullptr;  // per thread; null means none
  // Reads (y, x) outside of the input within the window's padding: the planner must provide a filled halo.
  bool reads_halo = false;
  // Can apply a 2x2 max-pool of stride 2 to its result before storing it (ConvParams::fused_max_pool).
  bool fuses_max_pool = false;
  // Can add a residual to its result before storing it (ConvParams::residual).
  bool fuses_add = false;
  Tile (*tile)(const StepArgs& args) = nullptr;  // null where blocks of registers mean nothing
};

// Any step is accepted: the usual refuse().
[[maybe_unused]] static inline const char* accept(const StepArgs&) { return nullptr; }
// Vector kernels know rule 7 and rule 13 alone.
[[maybe_unused]] static inline const char* refuse_notebook(const StepArgs& args) {
  const bool notebook = static_cast<const ConvParams*>(args.params)->epilogue.form == Epilogue::Form::notebook;
  return notebook ? "the notebook's requantisation is for the reference and portable kernels" : nullptr;
}

}  // namespace octet::kernels
