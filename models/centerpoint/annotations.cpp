#include "models/centerpoint/annotations.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/io/json_text.h"
#include "runtime/io/points.h"

namespace octet::models {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMostBytes = 16 << 20;

// Python writes NaN and Infinity into its JSON (nuScenes has velocities that nobody knows); JSON knows null.
std::string standard_json(const std::string& text) {
  std::string result;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::size_t skip = 0;
    for (const std::string_view word : {"NaN", "-Infinity", "Infinity"}) {
      if (!in_string && skip == 0 && text.compare(i, word.size(), word) == 0) skip = word.size();
    }
    if (skip > 0) {
      result += "null";
      i += skip - 1;
      continue;
    }
    result += text[i];
    if (in_string && text[i] == '\\' && i + 1 < text.size()) {
      result += text[++i];
    } else if (text[i] == '"') {
      in_string = !in_string;
    }
  }
  return result;
}

std::string text_in(const json& object, const char* key) {
  if (!object.contains(key) || object[key].is_null()) return "";
  require(object[key].is_string(), "'{}' is {}, text was expected", key, json_text(object[key]));
  return object[key].get<std::string>();
}

// -1 where nobody counted.
int count_in(const json& object, const char* key) {
  if (!object.contains(key) || object[key].is_null()) return -1;
  const json& value = object[key];
  require(value.is_number_integer() && value.get<std::int64_t>() >= 0 && value.get<std::int64_t>() < 1 << 30,
          "'{}' is {}, a count was expected", key, json_text(value));
  return value.get<int>();
}

double number(const json& value, const char* key) {
  require(value.is_number() && std::isfinite(value.get<double>()), "'{}' holds {}, a number was expected", key,
          json_text(value));
  return value.get<double>();
}

Annotation annotation_from(const json& instance) {
  const json& box = instance["box"];
  require(box.is_array() && box.size() >= 7, "'box' is {}; x, y, z, length, width, height, yaw were expected",
          box.is_array() ? fmt::format("a list of {}", box.size()) : json_text(box));
  const auto at = [&](std::size_t i) { return number(box[i], "box"); };
  Annotation a{.label = text_in(instance, "class"), .x = at(0), .y = at(1), .z = at(2)};
  a.length = at(3), a.width = at(4), a.height = at(5), a.heading = at(6);
  require(a.length > 0 && a.width > 0 && a.height > 0, "'box' has the size {} x {} x {}, all above 0 were expected",
          a.length, a.width, a.height);
  if (instance.contains("velocity") && !instance["velocity"].is_null()) {
    const json& v = instance["velocity"];
    require(v.is_array() && v.size() >= 2, "'velocity' is {}, a list of two was expected", json_text(v));
    a.vx = v[0].is_null() ? Annotation::kUnknown : number(v[0], "velocity");
    a.vy = v[1].is_null() ? Annotation::kUnknown : number(v[1], "velocity");
  }
  a.attribute = text_in(instance, "attribute");
  const int lidar = count_in(instance, "num_lidar_pts"), radar = count_in(instance, "num_radar_pts");
  if (lidar >= 0) a.points = lidar + std::max(radar, 0);
  return a;
}

Pose pose_from(const json& all, const char* key) {
  if (!all.contains(key)) return Annotations::kIdentity;
  Pose pose;
  std::size_t size = 0;
  require(all[key].is_array() && all[key].size() == 4, "'{}': four rows of four numbers were expected", key);
  for (const json& row : all[key]) {
    require(row.is_array() && row.size() == 4, "'{}': four rows of four numbers were expected", key);
    for (const json& value : row) pose[size++] = number(value, key);
  }
  return pose;
}

}  // namespace

Annotations read_annotations(const std::filesystem::path& path) {
  std::string at;  // of what is being read, for messages
  try {
    const json all = json::parse(standard_json(read_text_file(path, kMostBytes)));
    require(all.is_object() && all.contains("instances") && all["instances"].is_array(),
            "no list \"instances\": not annotations");
    Annotations result;
    result.lidar_to_ego = pose_from(all, "lidar2ego"), result.ego_to_global = pose_from(all, "ego2global");
    for (std::size_t i = 0; i < all["instances"].size(); ++i) {
      at = fmt::format("instance {}: ", i);
      const json& instance = all["instances"][i];
      require(instance.is_object(), "{}, an object was expected", json_text(instance));
      if (instance.contains("box")) result.boxes.push_back(annotation_from(instance));
    }
    return result;
  } catch (const json::exception& e) {
    fail("{}: not annotations: {}", path.string(), e.what());
  } catch (const Error& e) {
    if (std::string_view(e.what()).starts_with(path.string())) throw;  // the file could not be read
    fail("{}: {}{}", path.string(), at, e.what());
  }
}

std::optional<std::filesystem::path> annotations_beside(const std::filesystem::path& frame) {
  const auto stem = point_format_of_name(frame) ? frame.stem().stem() : frame.stem();  // of NAME.f32x5.bin, NAME.bin
  const auto beside = frame.parent_path() / (stem.string() + ".annotations.json");
  std::error_code error;
  return std::filesystem::exists(beside, error) ? std::optional(beside) : std::nullopt;
}

}  // namespace octet::models
