// sparse_conv_s16_avx2: the wide first layer by vpmaddwd (two products of at most 16256 * 127 fit 32 bits).
#include "kernels/cpu/sparse_conv_avx2.h"

namespace octet::kernels {
namespace {

struct Traits : sparse::Words256 {
  static constexpr int kInputBytes = 2;
  struct Reader : sparse::Reader256<kRows> {
    explicit Reader(const StepArgs& args) : Reader256(args, 2) {}
  };
};

}  // namespace

extern const Kernel sparse_conv_s16_avx2;
const Kernel sparse_conv_s16_avx2 = sparse::kernel<Traits>("sparse_conv_s16", "avx2", refuse_notebook);

}  // namespace octet::kernels
