// sparse_conv_s16_avx512vnni: vpdpwssd, two 16-bit products a lane.
#include "kernels/cpu/sparse_conv_avx512.h"

namespace octet::kernels {
namespace {

struct Traits : sparse::Common512 {
  using Weight = std::int16_t;
  using Source = std::int8_t;
  static constexpr int kGroup = 2, kInputBytes = 2;
  struct Reader : sparse::Reader512<kRows, kInputBytes> {
    explicit Reader(const StepArgs& args) : Reader512(args, false) {}
  };
  static std::int64_t offset(const StepArgs&) { return 0; }
  // As assembly: with the intrinsic, g++ 12 spills the sums (see avx512vnni.h).
  static void multiply_add(Sum& sum, __m512i x, Weights w) { asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w)); }
};

}  // namespace

extern const Kernel sparse_conv_s16_avx512vnni;
const Kernel sparse_conv_s16_avx512vnni = sparse::kernel<Traits>("sparse_conv_s16", "avx512vnni", refuse_notebook);

}  // namespace octet::kernels
