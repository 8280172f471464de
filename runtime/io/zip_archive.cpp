#include "runtime/io/zip_archive.h"

#include <zip.h>

#include <algorithm>

#include "runtime/error.h"
#include "runtime/io/file.h"

namespace octet {
namespace {

struct ZipError {
  zip_error_t error;
  ZipError() { zip_error_init(&error); }
  ~ZipError() { zip_error_fini(&error); }
  std::string text() { return zip_error_strerror(&error); }
};

}  // namespace

struct ZipArchive::Handle {
  zip_t* zip = nullptr;
  ~Handle() {
    if (zip != nullptr) zip_discard(zip);
  }
};

ZipArchive::ZipArchive(std::span<const std::byte> bytes, const std::string& name)
    : handle_(std::make_unique<Handle>()),
      name_(name),
      archive_bytes_(bytes.size()),
      budget_(64 * std::uint64_t{bytes.size()} + (std::uint64_t{64} << 20)) {
  ZipError error;
  zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error.error);
  require(source != nullptr, "{}: cannot be read as a zip archive: {}", name, error.text());
  handle_->zip = zip_open_from_source(source, ZIP_RDONLY, &error.error);
  if (handle_->zip == nullptr) {
    zip_source_free(source);
    fail("{}: a zip archive that cannot be opened: {}", name, error.text());
  }
  const zip_int64_t count = zip_get_num_entries(handle_->zip, 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    const char* entry = zip_get_name(handle_->zip, static_cast<zip_uint64_t>(i), ZIP_FL_ENC_RAW);
    require(entry != nullptr, "{}: the zip archive has an entry without a name", name);
    entries_.emplace_back(entry);
  }
  std::ranges::sort(entries_);
  const auto twice = std::ranges::adjacent_find(entries_);
  require(twice == entries_.end(), "{}: the zip archive has two entries '{}'", name,
          twice == entries_.end() ? "" : printable(*twice));
}

ZipArchive::~ZipArchive() = default;

bool ZipArchive::contains(const std::string& entry) const { return std::ranges::binary_search(entries_, entry); }

Tensor ZipArchive::read(const std::string& entry, std::uint64_t max_bytes) {
  zip_t* zip = handle_->zip;
  zip_stat_t info;
  require(
      contains(entry) && zip_stat(zip, entry.c_str(), ZIP_FL_ENC_RAW, &info) == 0 && (info.valid & ZIP_STAT_SIZE) != 0,
      "{}: the zip archive has no entry '{}'", name_, printable(entry));
  require(info.size <= max_bytes, "{}: the entry '{}' claims {} bytes, at most {} were expected", name_,
          printable(entry), info.size, max_bytes);
  const bool stored = (info.valid & ZIP_STAT_COMP_METHOD) != 0 && info.comp_method == ZIP_CM_STORE;
  require(info.size <= budget_ && (!stored || info.size <= archive_bytes_),
          "{}: the entry '{}' claims {} bytes, too many for an archive of {} bytes", name_, printable(entry), info.size,
          archive_bytes_);
  budget_ -= info.size;

  const std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> file(zip_fopen(zip, entry.c_str(), ZIP_FL_ENC_RAW),
                                                               zip_fclose);
  require(file != nullptr, "{}: cannot read the entry '{}': {}", name_, printable(entry), zip_strerror(zip));
  Tensor content(DType::u8, {static_cast<std::int64_t>(info.size)});
  std::uint64_t done = 0;
  while (done < info.size) {
    const zip_int64_t got = zip_fread(file.get(), content.raw() + done, info.size - done);
    require(got > 0, "{}: the entry '{}' is broken after {} of {} bytes", name_, printable(entry), done, info.size);
    done += static_cast<std::uint64_t>(got);
  }
  char more;  // reading up to the end is what makes libzip compare the check sum
  require(zip_fread(file.get(), &more, 1) == 0,
          "{}: the entry '{}' is longer than its {} bytes or its check sum is wrong", name_, printable(entry),
          info.size);
  return content;
}

}  // namespace octet
