#include "models/photos.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "models/csv.h"
#include "models/data_files.h"
#include "runtime/error.h"
#include "runtime/io/file.h"

namespace octet::models {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxCsv = 64 << 20;

std::optional<int> to_int(const std::string& text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::map<std::string, int> read_labels(const fs::path& path) {
  std::map<std::string, int> labels;
  const auto rows = parse_csv(read_text_file(path, kMaxCsv), path.string());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    require(rows[i].size() >= 2, "{}: row {} has {} field(s); file and class index were expected", path.string(), i + 1,
            rows[i].size());
    const auto index = to_int(rows[i][1]);
    if (!index && i == 0) continue;  // the header
    require(index.has_value(), "{}: row {}: '{}' is not a class index", path.string(), i + 1, printable(rows[i][1]));
    labels[rows[i][0]] = *index;
  }
  require(!labels.empty(), "{}: no row names a file and its class", path.string());
  return labels;
}

}  // namespace

std::vector<std::string> class_folders(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_directory(error)) names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

int label_of_folder(const fs::path& photo, const std::vector<std::string>& labels) {
  const auto named = std::ranges::find(labels, photo.parent_path().filename().string());
  return named == labels.end() ? -1 : static_cast<int>(named - labels.begin());
}

int label_of(const fs::path& photo, const std::vector<std::string>& labels, const ModelInfo* info) {
  const int by_folder = label_of_folder(photo, labels);
  if (by_folder >= 0 || info == nullptr || info->label_of_name == nullptr) return by_folder;
  return info->label_of_name(photo.filename().string());
}

std::vector<Photo> list_photos(const fs::path& folder, const std::vector<std::string>& labels, const ModelInfo* info,
                               const PhotoSetOptions& options) {
  std::map<std::string, int> csv;
  if (options.labels) csv = read_labels(*options.labels);
  const std::vector<fs::path> files =
      selected_files(list_images(folder), options.skip, options.limit, fmt::format("photos in {}", folder.string()));
  std::vector<Photo> photos;
  bool any_listed = false;
  for (const fs::path& file : files) {
    auto listed = csv.find(file.lexically_relative(folder).string());
    if (listed == csv.end()) listed = csv.find(file.filename().string());
    const bool in_csv = listed != csv.end();
    any_listed |= in_csv;
    photos.push_back(
        {file, in_csv ? listed->second : label_of(file, labels, info), !in_csv && label_of_folder(file, labels) < 0});
  }
  require(!options.labels || any_listed, "{}: names none of the {} photos in {}", options.labels->string(),
          photos.size(), folder.string());
  return photos;
}

fs::path part_of(const fs::path& data, Part part) {
  const char* const names[2][2] = {{"calibration", "train"}, {"test", "val"}};
  std::error_code error;
  for (const char* name : names[part == Part::test]) {
    if (fs::is_directory(data / name, error)) return data / name;
  }
  return data;
}

}  // namespace octet::models
