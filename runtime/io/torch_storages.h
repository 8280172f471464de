// Where the storages of a PyTorch checkpoint lie, and how a tensor is cut out of one. Internal to runtime/io.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "runtime/io/torch_state.h"
#include "runtime/io/zip_archive.h"
#include "runtime/tensor.h"

namespace octet {

struct StorageBytes {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> keep;  // owns them; null when tensors must copy
};

class TorchStorages {
 public:
  virtual ~TorchStorages() = default;
  // All bytes of a storage, exactly elements * size. Throws Error when they are not there.
  virtual StorageBytes load(const TorchStorage& storage) = 0;
};

// `ROOT/data/KEY` of an archive; each storage is read once, when first asked for.
class ZipStorages final : public TorchStorages {
 public:
  ZipStorages(ZipArchive& archive, std::string root, const std::string& name)
      : archive_(archive), root_(std::move(root)), name_(name) {}
  StorageBytes load(const TorchStorage& storage) override;

 private:
  ZipArchive& archive_;
  std::string root_;  // "archive/"
  const std::string& name_;
  std::map<std::string, std::shared_ptr<const Tensor>> loaded_;
};

// Behind the pickles of the legacy stream, for every key of `keys`: an int64 element count, then the elements.
class LegacyStorages final : public TorchStorages {
 public:
  LegacyStorages(std::span<const std::byte> bytes, std::size_t begin, const std::vector<std::string>& keys,
                 const std::map<std::string, TorchStorage>& storages, const std::string& name);
  StorageBytes load(const TorchStorage& storage) override;

 private:
  const std::string& name_;
  std::map<std::string, std::span<const std::byte>> places_;
};

// Builds row-major tensors, views where the storage allows it. All copies of one checkpoint together may take four
// times the size of its file and 256 MB more: expanded tensors can claim any size.
class TensorBuilder {
 public:
  TensorBuilder(TorchStorages& storages, std::size_t file_bytes, const std::string& name)
      : storages_(storages), budget_(4 * std::uint64_t{file_bytes} + (std::uint64_t{256} << 20)), name_(name) {}
  Tensor build(const TorchTensor& tensor);

 private:
  void check_range(const TorchTensor& tensor, const Shape& shape) const;
  void spend(const TorchTensor& tensor, std::uint64_t bytes);

  TorchStorages& storages_;
  std::uint64_t budget_;
  const std::string& name_;
};

}  // namespace octet
