#include "runtime/io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include "runtime/error.h"

namespace octet {
namespace {

std::string reason(int code) { return std::generic_category().message(code); }

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int close() {
    const int fd = std::exchange(fd_, -1);
    return fd < 0 ? 0 : ::close(fd);
  }

 private:
  int fd_;
};

// Opens a regular, non-empty file; gives its size. O_NONBLOCK: opening a pipe must not wait for a writer.
std::uint64_t open_regular(const std::filesystem::path& path, int fd) {
  require(fd >= 0 || errno != ENOENT, "no such file: {}", path.string());
  require(fd >= 0, "cannot open {}: {}", path.string(), reason(errno));
  struct stat info {};
  require(::fstat(fd, &info) == 0, "cannot open {}: {}", path.string(), reason(errno));
  require(!S_ISDIR(info.st_mode), "{} is a folder, a file was expected", path.string());
  require(S_ISREG(info.st_mode), "{} is not a regular file", path.string());
  require(info.st_size > 0, "{} is empty", path.string());
  return static_cast<std::uint64_t>(info.st_size);
}

int open_for_reading(const std::filesystem::path& path) {
  return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

template <class Container>
Container read_whole(const std::filesystem::path& path, std::uint64_t max_bytes) {
  const Descriptor file(open_for_reading(path));
  const std::uint64_t size = open_regular(path, file.get());
  require(size <= max_bytes, "{} has {} bytes, more than the {} that are allowed here", path.string(), size, max_bytes);
  Container content(static_cast<std::size_t>(size), typename Container::value_type{});
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t got = ::read(file.get(), content.data() + done, content.size() - done);
    if (got < 0 && errno == EINTR) continue;
    require(got >= 0, "cannot read {}: {}", path.string(), reason(errno));
    require(got > 0, "{} ends after {} of {} bytes: it was cut while it was read", path.string(), done, size);
    done += static_cast<std::size_t>(got);
  }
  return content;
}

class DescriptorWriter final : public FileWriter {
 public:
  DescriptorWriter(int fd, const std::filesystem::path& path) : fd_(fd), path_(path) {}
  void write(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t done = ::write(fd_, bytes.data(), bytes.size());
      if (done < 0 && errno == EINTR) continue;
      require(done >= 0, "cannot write {}: {}", path_.string(), reason(errno));
      bytes = bytes.subspan(static_cast<std::size_t>(done));
    }
  }

 private:
  int fd_;
  const std::filesystem::path& path_;
};

// Creates a file of a name that nobody has, beside `target`; 0666 and the umask, as any new file.
int create_temporary(const std::filesystem::path& target, std::filesystem::path& name) {
  static std::atomic<unsigned> counter{0};
  for (int attempt = 0; attempt < 100; ++attempt) {
    name = target;
    name += fmt::format(".tmp-{}-{}", ::getpid(), counter++);
    const int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return -1;
}

// A rename is durable once its folder is synced; a file system that cannot sync folders is not an error.
void sync_folder(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const Descriptor file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (file.get() >= 0) (void)::fsync(file.get());
}

std::filesystem::path link_target(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_symlink(path, ignored)) return path;
  const std::filesystem::path target = std::filesystem::weakly_canonical(path, ignored);
  return ignored ? path : target;
}

}  // namespace

std::vector<std::byte> read_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  return read_whole<std::vector<std::byte>>(path, max_bytes);
}

std::string read_text_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  return read_whole<std::string>(path, max_bytes);
}

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const Descriptor file(open_for_reading(path));
  const std::uint64_t size = open_regular(path, file.get());
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file.get(), 0);
  require(data != MAP_FAILED, "cannot map {} ({} bytes): {}", path.string(), size, reason(errno));
  return std::shared_ptr<const MappedFile>(new MappedFile(static_cast<std::byte*>(data), size));
}

MappedFile::~MappedFile() { ::munmap(data_, size_); }

void write_file_atomically(const std::filesystem::path& path, const std::function<void(FileWriter&)>& write) {
  const std::filesystem::path target = link_target(path);
  std::error_code ignored;
  require(!path.empty(), "cannot write a file without a name");
  require(!std::filesystem::is_directory(target, ignored), "cannot write {}: it is a folder", path.string());
  std::filesystem::path temporary;
  Descriptor file(create_temporary(target, temporary));
  require(file.get() >= 0, "cannot write {}: {}", path.string(), reason(errno));
  try {
    struct stat old {};
    if (::stat(target.c_str(), &old) == 0) (void)::fchmod(file.get(), old.st_mode & 07777);
    DescriptorWriter writer(file.get(), path);
    write(writer);
    require(::fsync(file.get()) == 0, "cannot write {}: {}", path.string(), reason(errno));
    require(file.close() == 0, "cannot write {}: {}", path.string(), reason(errno));
    require(::rename(temporary.c_str(), target.c_str()) == 0, "cannot write {}: {}", path.string(), reason(errno));
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder(target);
}

void not_needed_soon(std::span<const std::byte> bytes) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::uintptr_t first = (address + page - 1) / page * page, last = (address + bytes.size()) / page * page;
  // (The pages at both ends also hold somebody else's bytes.) A system that does not know the advice ignores it.
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_PAGEOUT);
}

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  write_file_atomically(path, [bytes](FileWriter& out) { out.write(bytes); });
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, [text](FileWriter& out) { out.write(text); });
}

std::string describe_start(std::span<const std::byte> bytes) {
  if (bytes.empty()) return "nothing";
  const auto start = bytes.first(std::min<std::size_t>(bytes.size(), 16));
  const bool text = std::ranges::all_of(start, [](std::byte b) {
    const auto c = std::to_integer<unsigned char>(b);
    return (c >= 32 && c < 127) || c == '\n' || c == '\r' || c == '\t';
  });
  std::string shown;
  if (text) {
    for (const std::byte b : start) shown += std::max(static_cast<char>(b), ' ');  // no line breaks in a message
    return "\"" + shown + "\"";
  }
  for (const std::byte b : start.first(std::min<std::size_t>(start.size(), 8)))
    shown += fmt::format("{}{:02x}", shown.empty() ? "" : " ", std::to_integer<int>(b));
  return shown;
}

std::string printable(std::string_view name) {
  constexpr std::size_t kLongest = 80;
  std::string shown;
  for (const char c : name.substr(0, kLongest)) {
    const auto code = static_cast<unsigned char>(c);
    if (code < 32 || code == 127) {
      shown += fmt::format("\\x{:02x}", code);
    } else {
      shown += c;
    }
  }
  return name.size() > kLongest ? shown + "..." : shown;
}

}  // namespace octet
