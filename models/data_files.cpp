#include "models/data_files.h"

#include <cstdlib>

namespace octet::models {

namespace fs = std::filesystem;

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

}  // namespace octet::models
