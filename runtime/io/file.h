// Files: whole reads with a limit, read-only maps, and writes that either happen completely or not at all. Every
// failure is an Error of one line that names the path. Only regular files are read: a folder, a pipe or a device is
// refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace octet {

// The whole file. Errors: missing, a folder, not readable, empty, larger than `max_bytes`.
std::vector<std::byte> read_file(const std::filesystem::path& path, std::uint64_t max_bytes);
std::string read_text_file(const std::filesystem::path& path, std::uint64_t max_bytes);

// A file mapped into memory. The pages are private and copy-on-write: whoever writes through a Tensor that views them
// changes a copy of the page, never the file. Replacing the file by rename (write_file_atomically) leaves the map
// intact; somebody who truncates the file in place while it is mapped kills the process (SIGBUS), as with every mmap.
class MappedFile {
 public:
  // Errors: missing, a folder, not readable, empty.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  MappedFile(std::byte* data, std::size_t size) : data_(data), size_(size) {}

  std::byte* data_;
  std::size_t size_;
};

// A hint: nobody will read these bytes soon. Where they are pages of a map, the system may take the memory back and
// read the file again should somebody ask after all; elsewhere nothing happens. Nothing is ever lost.
void not_needed_soon(std::span<const std::byte> bytes);

// Where the callback of write_file_atomically puts its bytes.
class FileWriter {
 public:
  virtual void write(std::span<const std::byte> bytes) = 0;
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

 protected:
  ~FileWriter() = default;
};

// Writes a temporary file in the folder of `path`, syncs it to the disk and renames it over `path`. When anything
// fails, the callback included, the temporary is removed and an old file is left as it was. An old file's permissions
// are kept; of a symbolic link the target is replaced. Errors: no such folder, `path` is a folder, no permission, disk
// full.
void write_file_atomically(const std::filesystem::path& path, const std::function<void(FileWriter&)>& write);
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

// For messages about files of a wrong kind: the first bytes as quoted text ("\"This is\"") or as hexadecimal
// ("89 50 4e 47").
std::string describe_start(std::span<const std::byte> bytes);

// A name from a file, fit for a message of one line: control characters as \xNN, at most 80 bytes and then "...".
std::string printable(std::string_view name);

}  // namespace octet
