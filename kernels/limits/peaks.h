// Loops that reach what one core can do: multiply-accumulates from registers, and reads of a buffer. One file per
// instruction set, peaks_<isa>.cpp, compiled with that set's flags; limits.def lists them, limits.cpp times them.
//
// Every loop is one block of assembly with its registers written out: g++ 12 spills vpdpbusd's accumulators, which
// would measure the stack. The registers are zeroed first, so that no float is slow for being denormal. Plain: no
// inline code that the linker could share between instruction sets.
#pragma once

#include <cstddef>
#include <cstdint>

namespace octet::kernels::limits {

struct MultiplyLoop {
  const char* instruction = nullptr;  // null: the set adds none of this type to those of the sets below it
  double ops = 0;                     // of one iteration; a multiply-accumulate counts as two
  void (*run)(std::int64_t iterations) = nullptr;
};

struct Peaks {
  const char* isa;
  MultiplyLoop f32, s8;
  // Reads `bytes` (a multiple of 1024, not 0) from 64-byte-aligned memory, once, front to back. Null: as the set below.
  void (*read)(const void* data, std::size_t bytes) = nullptr;
};

// op(0) op(1) ...: the lines of a loop, and its registers.
#define OCTET_TIMES_8(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7)
#define OCTET_TIMES_12(op) OCTET_TIMES_8(op) op(8) op(9) op(10) op(11)
#define OCTET_TIMES_16(op) OCTET_TIMES_12(op) op(12) op(13) op(14) op(15)

}  // namespace octet::kernels::limits
