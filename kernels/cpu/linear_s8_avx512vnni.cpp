// linear_s8_avx512vnni: a fully connected layer on vpdpbusd with 512-bit registers.
#include "kernels/cpu/avx512vnni.h"

namespace octet::kernels {

extern const Kernel linear_s8_avx512vnni;
const Kernel linear_s8_avx512vnni = vnni::linear<avx512vnni::Traits>("avx512vnni");

}  // namespace octet::kernels
