// linear_s8_avxvnni: a fully connected layer on vpdpbusd with 256-bit registers.
#include "kernels/cpu/avxvnni.h"

namespace octet::kernels {

extern const Kernel linear_s8_avxvnni;
const Kernel linear_s8_avxvnni = vnni::linear<avxvnni::Traits>("avxvnni");

}  // namespace octet::kernels
