// sparse_conv_s8_avx512vnni: vpdpbusd multiplies unsigned inputs; s8 that may be negative are staged as q + 128.
#include "kernels/cpu/avx512vnni.h"
#include "kernels/cpu/sparse_conv_avx512.h"

namespace octet::kernels {
namespace {

struct Traits : sparse::Common512 {
  using Weight = std::int8_t;
  using Source = std::int8_t;
  static constexpr int kGroup = 4, kInputBytes = 1;
  struct Reader : sparse::Reader512<kRows, kInputBytes> {
    explicit Reader(const StepArgs& args) : Reader512(args, vnni::flips(args)) {}
  };
  static std::int64_t offset(const StepArgs& args) { return vnni::flips(args) ? 128 : 0; }
  static void multiply_add(Sum& sum, __m512i x, Weights w) { avx512vnni::Traits<false>::multiply_add(sum, x, w); }
};

}  // namespace

extern const Kernel sparse_conv_s8_avx512vnni;
const Kernel sparse_conv_s8_avx512vnni = sparse::kernel<Traits>("sparse_conv_s8", "avx512vnni", refuse_notebook);

}  // namespace octet::kernels
