// A zip archive in memory, read through libzip. Internal to runtime/io.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/tensor.h"

namespace octet {

// Against zip bombs, all that is read from one archive together may have at most 64 times its size and 64 MB more.
// PyTorch stores without compressing; weights that somebody zipped again shrink by a tenth, only zeros shrink further.
class ZipArchive {
 public:
  // `bytes` must outlive the archive. Throws Error when it is no zip archive or is cut.
  ZipArchive(std::span<const std::byte> bytes, const std::string& name);
  ~ZipArchive();
  ZipArchive(const ZipArchive&) = delete;
  ZipArchive& operator=(const ZipArchive&) = delete;

  const std::vector<std::string>& entries() const { return entries_; }
  bool contains(const std::string& entry) const;  // by its whole name

  // The bytes of an entry as a u8 tensor of one dimension. Throws Error: no such entry, encrypted, a broken or lying
  // stream (the check sum is compared), over the limits.
  Tensor read(const std::string& entry, std::uint64_t max_bytes);

 private:
  struct Handle;
  std::unique_ptr<Handle> handle_;
  std::string name_;
  std::vector<std::string> entries_;
  std::uint64_t archive_bytes_;
  std::uint64_t budget_;
};

}  // namespace octet
