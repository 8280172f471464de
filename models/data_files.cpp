#include "models/data_files.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "runtime/error.h"
#include "runtime/io/file.h"

namespace octet::models {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kMaxNames = 16 << 20;

}  // namespace

std::optional<fs::path> shipped_file(const std::string& name) {
  fs::path folder;
  std::error_code error;
  if (const char* chosen = std::getenv("OCTET_DATA"); chosen != nullptr && *chosen != '\0') {
    folder = chosen;
  } else {
    const fs::path executable = fs::read_symlink("/proc/self/exe", error);
    if (error) return std::nullopt;
    folder = executable.parent_path().parent_path() / "share" / "octet";
  }
  const fs::path file = folder / name;
  if (!fs::is_regular_file(file, error)) return std::nullopt;
  return file;
}

std::optional<fs::path> shipped_weights(const std::string& model) {
  const std::string stem = model + "/" + model;
  const auto own = shipped_file(stem + ".safetensors");
  return own ? own : shipped_file(stem + ".pth");
}

std::vector<std::string> read_names(const fs::path& path) {
  std::vector<std::string> names;
  std::istringstream lines(read_text_file(path, kMaxNames));
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    names.push_back(line);
  }
  require(!names.empty(), "{}: empty; names of classes, one a line, were expected", path.string());
  return names;
}

std::vector<fs::path> selected_files(std::vector<fs::path> files, std::int64_t skip, std::int64_t limit,
                                     const std::string& what) {
  const auto total = static_cast<std::int64_t>(files.size());
  require(skip >= 0 && skip < total, "--skip {} leaves none of the {} {}", skip, total, what);
  require(limit != 0, "--limit 0 leaves none of the {} {}", total, what);
  files.erase(files.begin(), files.begin() + skip);
  if (limit > 0) files.resize(static_cast<std::size_t>(std::min(limit, total - skip)));
  return files;
}

}  // namespace octet::models
