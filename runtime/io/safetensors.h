// safetensors: 8 bytes of header length (little-endian), a JSON header, then the tensors' bytes without gaps. Reading
// executes nothing and copies nothing that is aligned: tensors are views of the mapped file, which they keep alive.
//
// dtypes read: F32, F16, F64, I8, U8, I32, I64; BOOL becomes u8, BF16 becomes f32. Others are an Error that names them.
// Tensors come in the order of their bytes in the file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/state_dict.h"

namespace octet {

using Metadata = std::map<std::string, std::string>;  // the header's "__metadata__"

struct SafetensorsFile {  // its tensors view the mapped file
  StateDict tensors;
  Metadata metadata;
};

// Errors, each with the file and the tensor: a header that is cut, longer than 100 MB, not JSON or not of the format's
// form; duplicate names; an unknown dtype; offsets out of range, overlapping or with gaps; a size that differs from the
// shape; bytes after the last tensor.
SafetensorsFile read_safetensors(const std::filesystem::path& path);

// The same from memory; `name` stands for the path in messages. With `keep` (what owns `bytes`) aligned tensors are
// views, which must then be writable memory if anybody writes through them; without it every tensor is a copy.
SafetensorsFile parse_safetensors(std::span<const std::byte> bytes, const std::string& name,
                                  std::shared_ptr<const void> keep = nullptr);

// The file as bytes. Tensors are written widest type first, then by name, so that each is aligned and equal
// dictionaries give equal files; the first byte of data is 64-byte aligned. Errors: an empty tensor, a name or metadata
// that is not UTF-8.
std::vector<std::byte> safetensors_bytes(const StateDict& tensors, const Metadata& metadata = {});

// The same, written atomically (runtime/io/file.h).
void write_safetensors(const std::filesystem::path& path, const StateDict& tensors, const Metadata& metadata = {});

}  // namespace octet
