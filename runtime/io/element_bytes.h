// From the bytes of a file to a Tensor. Internal to runtime/io.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "runtime/tensor.h"

namespace octet {

static_assert(std::endian::native == std::endian::little, "the file formats are read as little-endian memory");

// `file_size` is the size of an element in the file: 2 for bfloat16, which becomes f32, else size_of(type). `bytes` has
// shape.elements() * file_size of them. With `keep`, the owner of `bytes`, an aligned tensor is a view; else a copy.
inline Tensor tensor_from_bytes(DType type, int file_size, Shape shape, std::span<const std::byte> bytes,
                                const std::shared_ptr<const void>& keep) {
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
  const bool convert = file_size != size_of(type);
  if (keep && !convert && address % static_cast<unsigned>(file_size) == 0) {
    return Tensor(type, shape, const_cast<std::byte*>(bytes.data()), keep);
  }
  Tensor tensor(type, shape);
  if (!convert) {
    if (!bytes.empty()) std::memcpy(tensor.raw(), bytes.data(), bytes.size());
    return tensor;
  }
  for (std::size_t i = 0; i < bytes.size() / 2; ++i) {  // bfloat16 is the upper half of a float32
    std::memcpy(tensor.raw() + 4 * i + 2, bytes.data() + 2 * i, 2);
  }
  return tensor;
}

}  // namespace octet
