// conv2d_s8_avx512vnni: direct convolution on vpdpbusd with 512-bit registers.
#include "kernels/cpu/avx512vnni.h"

namespace octet::kernels {

extern const Kernel conv2d_s8_avx512vnni;
const Kernel conv2d_s8_avx512vnni = vnni::convolution<avx512vnni::Traits>("avx512vnni");

}  // namespace octet::kernels
