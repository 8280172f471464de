// conv2d_s8_avx512vnni: direct convolution on vpdpbusd with 512-bit registers (direct_conv.h), or for one to four
// output channels along the depth (conv2d_s8_narrow.h).
#include "kernels/cpu/avx512vnni.h"
#include "kernels/cpu/conv2d_s8_narrow.h"

namespace octet::kernels {
namespace {

constexpr Kernel kDirect = vnni::convolution<avx512vnni::Traits>("avx512vnni");

std::int64_t tiles(const StepArgs& args) { return direct::is_narrow(args) ? narrow::tiles(args) : kDirect.tiles(args); }
void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  if (!direct::is_narrow(args)) return kDirect.run(args, first, last, scratch);
  (vnni::flips(args) ? narrow::run<true> : narrow::run<false>)(args, first, last);
}
std::size_t packed_bytes(const StepArgs& args) {
  return direct::is_narrow(args) ? narrow::packed_bytes(args) : kDirect.packed_bytes(args);
}
void pack(const StepArgs& args, const void* weights, void* packed) {
  (direct::is_narrow(args) ? narrow::pack : kDirect.pack)(args, weights, packed);
}
std::size_t scratch_bytes(const StepArgs& args) { return direct::is_narrow(args) ? 0 : kDirect.scratch_bytes(args); }
Tile tile(const StepArgs& args) {
  return direct::is_narrow(args) ? Tile{16 / args.output.c, args.output.c} : kDirect.tile(args);
}

}  // namespace

extern const Kernel conv2d_s8_avx512vnni;
const Kernel conv2d_s8_avx512vnni = {
    .op = "conv2d_s8",
    .isa = "avx512vnni",
    .refuse = direct::refuse,
    .tiles = tiles,
    .run = run,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
    .reads_halo = true,
    .fuses_max_pool = true,
    .fuses_add = true,
    .tile = tile,
};

}  // namespace octet::kernels
