// conv2d_s8_avx512vnni: direct convolution on vpdpbusd, which multiplies unsigned inputs with signed weights, four at a
// time, and adds them to 32-bit sums without saturating (rule 5 forbids vpdpbusds).
//
// Signed inputs that may be negative are flipped to q + 128 as they are broadcast, and 128 * sum(w) is taken off again
// where the sums start; inputs behind a ReLU need neither. The head of the packed weights holds that compensation.
#include "kernels/cpu/avx512vnni.h"

namespace octet::kernels {
namespace {

using avx512vnni::flips;
using avx512vnni::Traits;

void pack(const StepArgs& args, const void* weights, void* packed) {
  (flips(args) ? direct::pack<Traits<true>> : direct::pack<Traits<false>>)(args, weights, packed);
}

// A flat input is flipped once into scratch memory, not again for every pair of channel blocks.
bool flips_ahead(const StepArgs& args) { return flips(args) && direct::runs_flat(args) && args.output.c > 32; }

std::size_t scratch_bytes(const StepArgs& args) {
  return flips_ahead(args) ? static_cast<std::size_t>(direct::input_span(args).count) + View::kReadableBeyond : 0;
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  if (!flips(args)) return direct::run<Traits<false>>(args, first, last, scratch);
  if (!flips_ahead(args)) return direct::run<Traits<true>>(args, first, last, scratch);
  View input = args.inputs[0];
  const direct::Span span = direct::input_span(args);
  auto* to = static_cast<std::byte*>(scratch);
  for (std::int64_t i = 0; i < span.count; i += 64) {  // up to 63 bytes past the end are readable
    const __m512i value = _mm512_loadu_si512(input.data + span.first + i);
    _mm512_store_si512(to + i, _mm512_xor_si512(value, _mm512_set1_epi8(-128)));
  }
  input.data = to - span.first;
  StepArgs flipped = args;
  flipped.inputs = &input;
  direct::run<Traits<false>>(flipped, first, last, nullptr);
}

}  // namespace

extern const Kernel conv2d_s8_avx512vnni;
const Kernel conv2d_s8_avx512vnni = {
    .op = "conv2d_s8",
    .isa = "avx512vnni",
    .refuse = direct::refuse,
    .tiles = direct::tiles<Traits<false>>,
    .run = run,
    .packed_bytes = direct::packed_bytes<Traits<false>>,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
    .reads_halo = true,
    .fuses_max_pool = true,
    .tile = direct::tile<Traits<false>>,
};

}  // namespace octet::kernels
