// conv2d_s8_avxvnni: direct convolution on vpdpbusd with 256-bit registers.
#include "kernels/cpu/avxvnni.h"

namespace octet::kernels {

extern const Kernel conv2d_s8_avxvnni;
const Kernel conv2d_s8_avxvnni = vnni::convolution<avxvnni::Traits>("avxvnni");

}  // namespace octet::kernels
