// What the inert values of a PyTorch pickle mean: which of them are tensors, and which tensors make the state dict.
// Internal to runtime/io; no storage is read here.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/dtype.h"
#include "runtime/io/pickle.h"

namespace octet {

struct StorageType {
  const char* name;  // "FloatStorage"
  DType type;        // what its tensors become
  int size;          // bytes of one element in the file; differs from size_of(type) for bfloat16 alone
};

// ('storage', FloatStorage, '0', 'cpu', 24), in the legacy stream with a view (key, offset, size) of the storage
// behind.
struct TorchStorage {
  std::string key;
  std::string type_name;              // "torch.FloatStorage"
  const StorageType* type = nullptr;  // nullptr: one that is not read (complex, quantised, ...)
  std::int64_t elements = 0;          // of the whole storage
  std::int64_t view_offset = 0, view_elements = 0;
};

struct TorchTensor {
  std::string name;
  TorchStorage storage;
  std::int64_t offset = 0;  // into the storage; sizes and strides in elements too
  std::vector<std::int64_t> sizes, strides;
};

struct TorchState {
  std::vector<TorchTensor> tensors;  // in the order of the file
  std::vector<std::string> ignored;  // "epoch: an integer"
};

// The root is a dict of tensors, a module, or a dict with one of these under 'state_dict', 'model_state_dict', 'model'
// or 'net' (preferred). A prefix 'module.' (DataParallel) that all names have is taken off. Throws Error, starting with
// `file`, when there is no tensor or one is malformed.
TorchState find_torch_state(const pickle::Pickle& pickle, const std::string& file);

// Every storage that the pickle mentions, by key. Throws when two mentions disagree.
std::map<std::string, TorchStorage> find_torch_storages(const pickle::Pickle& pickle, const std::string& file);

}  // namespace octet
