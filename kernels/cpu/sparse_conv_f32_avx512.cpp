// sparse_conv_f32_avx512: fused multiply-add; float layers are outside of the same-bytes promise.
#include "kernels/cpu/sparse_conv_avx512.h"

namespace octet::kernels {
namespace {

struct Traits {
  using Sum = __m512;
  using Weights = __m512;
  using Scalar = float;
  using Weight = float;
  using Source = float;
  static constexpr int kLanes = 16, kRows = 14, kBlocks = 2, kGroup = 1, kInputBytes = 4;
  struct Reader : sparse::Reader512<kRows, kInputBytes> {
    explicit Reader(const StepArgs& args) : Reader512(args, false) {}
  };
  static std::int64_t offset(const StepArgs&) { return 0; }
  static Sum load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, Sum sum) { _mm512_storeu_ps(to, sum); }
  static Sum add(Sum a, Sum b) { return _mm512_add_ps(a, b); }
  static Weights load_weights(const float* from) { return _mm512_loadu_ps(from); }
  static __m512 broadcast(const std::uint32_t* from) {
    return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(*from)));
  }
  static void multiply_add(Sum& sum, __m512 x, Weights w) { sum = _mm512_fmadd_ps(x, w, sum); }
  static std::int64_t list(const std::int32_t* map, std::int64_t rows, std::int32_t* neighbour, std::int32_t* row) {
    return sparse::Common512::list(map, rows, neighbour, row);
  }
  // min and max give their second operand when one is a NaN: the sum stands there, so that a NaN is not lost.
  static void finish(const StepArgs& args, const float* sums, std::int64_t channels, std::int64_t from,
                     std::int64_t rows) {
    const auto& p = *static_cast<const ConvParams*>(args.params);
    const __m512 lo = _mm512_set1_ps(p.lo), hi = _mm512_set1_ps(p.hi);
    for (std::int64_t r = 0; r < rows; ++r) {
      float* to = args.output.at<float>(0, 0, from + r);
      for (std::int64_t c = 0; c < args.output.c; c += 16) {
        const __m512 sum = _mm512_add_ps(_mm512_loadu_ps(sums + r * channels + c), _mm512_loadu_ps(p.bias + c));
        const std::int64_t left = args.output.c - c;
        _mm512_mask_storeu_ps(to + c, avx512::lanes(left < 16 ? left : 16), _mm512_min_ps(hi, _mm512_max_ps(lo, sum)));
      }
    }
  }
};

}  // namespace

extern const Kernel sparse_conv_f32_avx512;
const Kernel sparse_conv_f32_avx512 = sparse::kernel<Traits>("sparse_conv_f32", "avx512", accept);

}  // namespace octet::kernels
