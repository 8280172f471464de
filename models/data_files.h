// Where the files that come with Octet (weights, ranges) are found.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace octet::models {

// OCTET_DATA/NAME when the variable is set; otherwise ../share/octet/NAME beside the running executable's folder, which
// is the same place in the build tree and in an installation. Never the current directory. Nothing when there is no
// such file.
std::optional<std::filesystem::path> shipped_file(const std::string& name);

}  // namespace octet::models
