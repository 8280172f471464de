// linear_s8_avx512vnni: a fully connected layer on vpdpbusd.
#include "kernels/cpu/avx512vnni.h"
#include "kernels/cpu/linear_direct.h"

namespace octet::kernels {
namespace {

using avx512vnni::flips;
using avx512vnni::Traits;

void pack(const StepArgs& args, const void* weights, void* packed) {
  (flips(args) ? direct::linear_pack<Traits<true>> : direct::linear_pack<Traits<false>>)(args, weights, packed);
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  (flips(args) ? direct::linear_run<Traits<true>> : direct::linear_run<Traits<false>>)(args, first, last, scratch);
}

}  // namespace

extern const Kernel linear_s8_avx512vnni;
const Kernel linear_s8_avx512vnni = {
    .op = "linear_s8",
    .isa = "avx512vnni",
    .refuse = direct::refuse_notebook,
    .tiles = direct::linear_tiles<Traits<false>>,
    .run = run,
    .packed_bytes = direct::linear_packed_bytes<Traits<false>>,
    .pack = pack,
    .scratch_bytes = direct::linear_scratch_bytes<Traits<false>>,
};

}  // namespace octet::kernels
