// Pieces: lays arrays out one behind the other in one memory, each 256-byte aligned as cudaMalloc's are.
#pragma once

#include <cstddef>
#include <cstdint>

namespace octet::cuda {

constexpr std::size_t aligned_size(std::size_t size) { return (size + 255) / 256 * 256; }

// Hands out pieces of one memory; without a memory it only counts.
class Pieces {
 public:
  explicit Pieces(std::byte* memory) : memory_(memory) {}
  template <class T>
  T* take(std::int64_t count) {
    T* piece = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
    used_ += aligned_size(static_cast<std::size_t>(count) * sizeof(T));
    return piece;
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

}  // namespace octet::cuda
