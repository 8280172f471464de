// Folders of photos with labels.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "models/registry.h"

namespace octet::models {

struct Photo {  // one file, or a part of one (runtime/io/image.h)
  std::filesystem::path path;
  int label = -1;        // the class, or -1 when nothing names it
  bool by_name = false;  // the label is only the model's rule on the file's name
};

// Which photos of a folder, and where their labels are.
struct PhotoSetOptions {
  std::optional<std::filesystem::path> labels;  // CSV: file, class index (RFC 4180 quotes, optional header)
  std::int64_t skip = 0;                        // of the sorted files
  std::int64_t limit = -1;                      // -1: all
};

// The photos below `folder`, sorted bytewise by path. Labels: the CSV first; else the photo's folder where it names a
// class; else the model's rule on the file's own name. `labels` are the class names. Throws Error: no such folder, no
// photo in it, none left after skip, a CSV that does not parse.
std::vector<Photo> list_photos(const std::filesystem::path& folder, const std::vector<std::string>& labels,
                               const ModelInfo* info, const PhotoSetOptions& options);

// The names of the sub-folders, sorted bytewise: the classes of a network that does not name them.
std::vector<std::string> class_folders(const std::filesystem::path& folder);

// The class that a photo's folder names, -1: none; and failing that, what its own name says by the model's rule.
int label_of_folder(const std::filesystem::path& photo, const std::vector<std::string>& labels);
int label_of(const std::filesystem::path& photo, const std::vector<std::string>& labels, const ModelInfo* info);

// The part of a data folder that calibrates or that is scored: its sub-folder calibration (or train), respectively test
// (or val), where one exists; the folder itself otherwise.
enum class Part { calibration, test };
std::filesystem::path part_of(const std::filesystem::path& data, Part part);

}  // namespace octet::models
