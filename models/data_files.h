// Where the files that come with Octet (weights, ranges) are found.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace octet::models {

// OCTET_DATA/NAME when the variable is set; otherwise ../share/octet/NAME beside the running executable's folder, which
// is the same place in the build tree and in an installation. Never the current directory. Nothing when there is no
// such file.
std::optional<std::filesystem::path> shipped_file(const std::string& name);

// The weights of a network of this name: NAME/NAME.safetensors, else NAME/NAME.pth (fetched, not shipped).
std::optional<std::filesystem::path> shipped_weights(const std::string& model);

// Names of classes, one a line. Throws Error for an empty file.
std::vector<std::string> read_names(const std::filesystem::path& path);

// What --skip and --limit leave of `files`: `limit` of them from the `skip`th on, all of the rest when it is negative.
// `what` they are ("photos in FOLDER"), for the error where none is left.
std::vector<std::filesystem::path> selected_files(std::vector<std::filesystem::path> files, std::int64_t skip,
                                                  std::int64_t limit, const std::string& what);

}  // namespace octet::models
