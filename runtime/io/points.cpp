#include "runtime/io/points.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/error.h"
#include "runtime/io/file.h"

namespace octet {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxPoints = std::int64_t{1} << 27;  // 2.7 GB of floats: some 500 sweeps of the largest sensors
constexpr const char* kFormats = "f32x4, f32x5, fp16x4 or fp16x5";
constexpr const char* kNames = ".f32x5.bin, .f32x4.bin, .fp16x5.bin, .fp16x4.bin or .pcd.bin";

std::optional<PointFormat> parse(std::string_view text) {
  PointFormat format;
  const auto take = [&](std::string_view prefix) {
    if (!text.starts_with(prefix)) return false;
    text.remove_prefix(prefix.size());
    return true;
  };
  if (take("fp16x") || take("f16x")) {
    format.type = DType::f16;
  } else if (!take("fp32x") && !take("f32x")) {
    return std::nullopt;
  }
  if (text != "4" && text != "5") return std::nullopt;
  format.columns = text == "4" ? 4 : 5;
  return format;
}

// Laser indices, unlike lags, are whole and soon above 1.
bool looks_like_lasers(std::span<const float> values) {
  bool above_one = false;
  for (std::size_t i = 4; i < values.size(); i += 5) {
    if (!std::isfinite(values[i]) || values[i] != std::trunc(values[i]) || values[i] < 0) return false;
    above_one |= values[i] > 1;
  }
  return above_one;
}

// [n, columns] of either type to f32 [n, 5].
Tensor five_columns(const Tensor& raw, int columns) {
  const Tensor values = raw.to_f32();
  const std::int64_t n = values.shape()[0];
  Tensor points(DType::f32, Shape{n, 5});
  const std::span<const float> from = values.span<float>();
  const std::span<float> to = points.span<float>();
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    std::memcpy(&to[i * 5], &from[i * static_cast<std::size_t>(columns)],
                static_cast<std::size_t>(columns) * sizeof(float));
  }
  return points;
}

}  // namespace

std::string PointFormat::str() const { return fmt::format("{}x{}", type == DType::f16 ? "fp16" : "f32", columns); }

PointFormat point_format(std::string_view text, const std::string& where) {
  const auto format = parse(text);
  require(format.has_value(), "{}: unknown point format '{}': {} was expected", where, printable(text), kFormats);
  return *format;
}

std::optional<PointFormat> point_format_of_name(const fs::path& path) {
  if (path.extension() != ".bin") return std::nullopt;
  const std::string kind = path.stem().extension().string();
  if (kind == ".pcd") return PointFormat{};
  return kind.empty() ? std::nullopt : parse(std::string_view(kind).substr(1));
}

PointCloud read_points(const fs::path& path, const std::optional<PointFormat>& given) {
  const auto format = given ? given : point_format_of_name(path);
  require(format.has_value(),
          "{}: its name does not say what a point is (NAME.f32x5.bin does): --points {} was expected", path.string(),
          kFormats);
  std::error_code error;
  if (fs::is_regular_file(path, error) && fs::file_size(path, error) == 0) return {Tensor(DType::f32, Shape{0, 5})};
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  const auto record = static_cast<std::size_t>(format->record_bytes());
  require(bytes.size() % record == 0, "{}: {} bytes are no whole number of points of {} bytes ({})", path.string(),
          bytes.size(), record, format->str());
  const auto n = static_cast<std::int64_t>(bytes.size() / record);
  require(n <= kMaxPoints, "{}: {} points, at most {} were expected", path.string(), n, kMaxPoints);
  const Tensor raw(format->type, Shape{n, format->columns}, const_cast<std::byte*>(bytes.data()), file);
  PointCloud cloud{five_columns(raw, format->columns)};
  const bool guess = format->fifth == PointFormat::Fifth::guess && format->columns == 5;
  cloud.fifth_was_laser = guess && looks_like_lasers(cloud.points.span<float>());
  if (cloud.fifth_was_laser || format->fifth == PointFormat::Fifth::laser) {
    for (std::int64_t i = 0; i < n; ++i) cloud.points.span<float>()[static_cast<std::size_t>(i * 5 + 4)] = 0;
  }
  return cloud;
}

std::vector<fs::path> list_point_files(const fs::path& folder, bool any_bin) {
  std::error_code error;
  require(fs::is_directory(folder, error), "{}: no such folder", folder.string());
  std::vector<fs::path> files;
  fs::recursive_directory_iterator at(folder, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::error_code ignored;
    const bool named = point_format_of_name(at->path()).has_value() || (any_bin && at->path().extension() == ".bin");
    if (named && at->is_regular_file(ignored)) files.push_back(at->path());
  }
  require(!error, "cannot read the folder {}: {}", folder.string(), error.message());
  require(!files.empty(), "no frame of points (NAME{}) below {}", any_bin ? ".bin" : kNames, folder.string());
  std::ranges::sort(files, {}, [](const fs::path& p) { return p.string(); });
  return files;
}

}  // namespace octet
