// LiDAR frames: raw arrays of points, one record of 4 or 5 numbers after another, little-endian, fp32 or fp16:
//
//     x, y, z (metres), intensity [, fifth]            no header; the number of points is the file's size over a
//     record's
//
// The fifth number is the time lag of the point's sweep in seconds (several sweeps in one file), or the index of the
// laser that saw it (a single raw nuScenes sweep), which networks do not want: their lag is then 0.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tensor.h"

namespace octet {

// What a record of the file is.
struct PointFormat {
  enum class Fifth : std::uint8_t {  // what the last number of a record is
    guess,                           // a laser's index when all are whole numbers and one is above 1, else the time lag
    time_lag,
    laser,
  };
  DType type = DType::f32;  // or f16
  int columns = 5;          // or 4
  Fifth fifth = Fifth::guess;

  int record_bytes() const { return columns * size_of(type); }
  std::string str() const;  // "f32x5"
};

// "f32x5", "fp32x4", "f16x5", "fp16x5". Throws Error for anything else; `where` begins the message.
PointFormat point_format(std::string_view text, const std::string& where);

// What the name says: FRAME.f32x5.bin, FRAME.fp16x5.bin and so on; FRAME.pcd.bin is nuScenes' f32x5. Nothing otherwise.
std::optional<PointFormat> point_format_of_name(const std::filesystem::path& path);

// One frame, whatever its file's format.
struct PointCloud {
  Tensor points;                 // f32 [n, 5]: x, y, z, intensity, time lag
  bool fifth_was_laser = false;  // Fifth::guess took the fifth column for indices and put lags of 0 there

  std::int64_t count() const { return points.shape()[0]; }
};

// An empty file is a cloud without points. Values that are not finite are kept: voxelising counts and skips them.
// Errors: no such file, no format (neither given nor in the name), a size that is no whole number of records, more than
// 2^27 points.
PointCloud read_points(const std::filesystem::path& path, const std::optional<PointFormat>& format = {});

// The point files below a folder, sorted bytewise by path: names that point_format_of_name knows, or *.bin with a
// format. Errors: no such folder, no such file below it.
std::vector<std::filesystem::path> list_point_files(const std::filesystem::path& folder, bool any_bin);

}  // namespace octet
