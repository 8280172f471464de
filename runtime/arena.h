// Places activations of different lifetimes in one piece of memory.
#pragma once

#include <cstdint>
#include <span>

namespace octet {

struct ArenaBlock {  // one activation
  std::int64_t bytes = 0;
  int first = 0, last = 0;  // steps between which it is in use, both inclusive
  std::int64_t offset = 0;  // set by place_blocks()
};

// Largest first, each at the lowest offset that is free during its lifetime, aligned to 128 bytes. Returns the bytes
// that all of them need together.
std::int64_t place_blocks(std::span<ArenaBlock> blocks);

}  // namespace octet
