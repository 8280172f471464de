// What an ONNX file may cost to read, found before protobuf allocates anything: two bytes in a file can become an
// object of a hundred, and a nested graph a hundred calls.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace octet::onnx {

// Throws Error when the wire format is broken, when the model holds more than 2^21 fields outside of packed data
// (networks of this kind have some ten thousand), or when sub-graphs are nested more than 16 deep.
void scan(std::span<const std::byte> bytes, const std::string& where);

}  // namespace octet::onnx
