// sparse_conv_s16_portable: the wide first layer in plain loops.
#include "kernels/cpu/sparse_conv_portable.h"

namespace octet::kernels {
namespace {

using Traits = sparse::PlainIntegers<std::int16_t>;

}  // namespace

extern const Kernel sparse_conv_s16_portable;
const Kernel sparse_conv_s16_portable = sparse::kernel<Traits>("sparse_conv_s16", "portable", accept);

}  // namespace octet::kernels
