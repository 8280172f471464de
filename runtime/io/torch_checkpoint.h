// PyTorch checkpoints without Python: the zip form (PyTorch 1.6 and later) and the legacy stream before it, holding a
// state dict, a whole pickled nn.Module, or a dict with either under 'state_dict', 'model_state_dict', 'model' or
// 'net'. The pickle is walked as inert data (runtime/io/pickle.h): nothing in it is ever imported, called or executed.
//
// Storages read: Float, Half, Double, Char (s8), Byte (u8), Int, Long; Bool becomes u8, BFloat16 becomes f32. Tensors
// of other types are listed as ignored, and so is whatever is not a tensor (epoch, optimizer). Transposed, sliced and
// expanded tensors are made row-major. A prefix 'module.' that every name has is taken off (DataParallel).
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "runtime/state_dict.h"

namespace octet {

// The state dict of a checkpoint, and what else was seen in it.
struct TorchCheckpoint {
  StateDict tensors;                 // in the order of the file; of a module, the order of its state_dict()
  std::vector<std::string> ignored;  // "epoch: an integer", one a value that is not part of `tensors`
};

// Errors: neither form (also a TorchScript archive or a plain pickle), a truncated or lying stream, a storage smaller
// than its tensors need, no tensors, big-endian data, more memory than an honest file of that size can need.
TorchCheckpoint read_torch_checkpoint(const std::filesystem::path& path);

// The same from memory; `name` stands for the path in messages. The tensors own their memory.
TorchCheckpoint parse_torch_checkpoint(std::span<const std::byte> bytes, const std::string& name);

// By the first bytes alone.
bool is_zip(std::span<const std::byte> bytes);
bool is_torch_legacy(std::span<const std::byte> bytes);

}  // namespace octet
