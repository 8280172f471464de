// The CUDA device, as far as this process can use one. Compiled into every build; one without CUDA, or a machine
// without a driver or device, gets the reason in words.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "runtime/gpu.h"

namespace octet::cuda {

struct Status {
  bool usable = false;
  std::string why;  // why not; empty when usable
  Gpu gpu;          // when usable: device 0 (CUDA_VISIBLE_DEVICES chooses another)
};

// Looked at once, at the first call; costs the creation of no context. Never throws.
const Status& status();

// Whether code built for `architectures` ("90a-real;80-virtual", CMake's notation) runs on compute capability
// 10 * major + minor: machine code runs on its own major version from its minor on (with a letter: on nothing else),
// PTX on everything that is not older.
bool runs_on(std::string_view architectures, int capability);

// --device: "auto" takes a usable device, else none (status().why says why), and none when OCTET_ISA asks for one of
// the CPU's instruction sets; "cpu" none; "cuda" throws Error with the reason when there is no usable device.
std::optional<Gpu> choose_device(std::string_view wanted);

}  // namespace octet::cuda
