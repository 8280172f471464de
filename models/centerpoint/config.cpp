#include "models/centerpoint/config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/error.h"

namespace octet::models {
namespace {

using json = nlohmann::ordered_json;

constexpr int kMostClasses = 1000;

// The number of voxels between two ends; throws unless it is whole (to a thousandth:
// decimals are not exact).
std::int64_t cells(const char* axis, double from, double to, double voxel) {
  const double exact = (to - from) / voxel;
  require(std::isfinite(exact) && exact >= 1 && exact < (1 << 24), "range: {} to {} along {} with voxels of {} m", from,
          to, axis, voxel);
  const double whole = std::nearbyint(exact);
  require(std::fabs(exact - whole) < 1e-3, "range: {} to {} along {} are {} voxels of {} m, not a whole number", from,
          to, axis, exact, voxel);
  return static_cast<std::int64_t>(whole);
}

void check_limits(const CenterPointConfig& c) {
  require(c.max_points >= 1 && c.max_points <= 1 << 20, "max_points: {}", c.max_points);
  require(c.max_voxels >= 1 && c.max_voxels <= 1 << 28, "max_voxels: {}", c.max_voxels);
  for (std::size_t i = 0; i < 3; ++i) {
    require(c.center_range[i] < c.center_range[i + 3], "center_range: {} is not below {}", c.center_range[i],
            c.center_range[i + 3]);
  }
  require(c.score_threshold >= 0 && c.score_threshold < 1, "score_threshold: {}, [0, 1) was expected",
          c.score_threshold);
  require(c.most_candidates >= 1 && c.most_candidates <= 1 << 20, "most_candidates: {}", c.most_candidates);
  require(c.most_boxes >= 1 && c.most_boxes <= 1 << 20, "most_boxes: {}", c.most_boxes);
  require(c.overlap >= 0 && c.overlap <= 1, "overlap: {}, [0, 1] was expected", c.overlap);
}

void check_tasks(const CenterPointConfig& c) {
  require(!c.tasks.empty() && c.tasks.size() <= 100, "tasks: {} of them, 1 to 100 were expected", c.tasks.size());
  std::set<std::string> names;
  for (const auto& task : c.tasks) {
    require(!task.empty(), "tasks: one has no classes");
    for (const std::string& name : task) {
      require(!name.empty() && names.insert(name).second, "tasks: the class '{}' is empty or there twice", name);
    }
  }
  require(names.size() <= kMostClasses, "tasks: {} classes, at most {} are supported", names.size(), kMostClasses);
  require(c.nms == CenterPointConfig::Nms::rotated || c.squared_radius.size() == c.tasks.size(),
          "squared_radius: {} of them for {} tasks", c.squared_radius.size(), c.tasks.size());
  for (const float r : c.squared_radius) require(r >= 0, "squared_radius: {}", r);
}

void read(const json& value, const std::string& key, CenterPointConfig& c) {
  if (key == "range") {
    c.range = value.get<std::array<double, 6>>();
  } else if (key == "voxel") {
    c.voxel = value.get<std::array<double, 3>>();
  } else if (key == "max_points") {
    c.max_points = value.get<int>();
  } else if (key == "max_voxels") {
    c.max_voxels = value.get<std::int64_t>();
  } else if (key == "center_range") {
    c.center_range = value.get<std::array<float, 6>>();
  } else if (key == "score_threshold") {
    c.score_threshold = value.get<float>();
  } else if (key == "most_candidates") {
    c.most_candidates = value.get<int>();
  } else if (key == "most_boxes") {
    c.most_boxes = value.get<int>();
  } else if (key == "nms") {
    const auto name = value.get<std::string>();
    require(name == "rotated" || name == "circle", "nms: '{}', rotated or circle was expected", name);
    c.nms = name == "circle" ? CenterPointConfig::Nms::circle : CenterPointConfig::Nms::rotated;
  } else if (key == "overlap") {
    c.overlap = value.get<float>();
  } else if (key == "squared_radius") {
    c.squared_radius = value.get<std::vector<float>>();
  } else if (key == "tasks") {
    c.tasks = value.get<std::vector<std::vector<std::string>>>();
  } else {
    std::string known = "preset";
    const json all = json::parse(to_json(CenterPointConfig{}));
    for (const auto& item : all.items()) known += ", " + item.key();
    fail("unknown key '{}': {} were expected", key, known);
  }
}

// Numbers of the wrong size would be cut to fit silently; arrays of the wrong length too.
void check_type(const json& value, const std::string& key, const json& like) {
  const auto numbers = [](const json& list) {
    return list.is_array() && std::ranges::all_of(list, [](const json& v) { return v.is_number(); });
  };
  const bool fits = like.is_number_integer()  ? value.is_number_integer() && std::abs(value.get<double>()) < 1e9
                    : like.is_number()        ? value.is_number()
                    : like.is_string()        ? value.is_string()
                    : key == "tasks"          ? value.is_array()
                    : key == "squared_radius" ? numbers(value)
                                              : numbers(value) && value.size() == like.size();
  require(fits, "{}: {} was expected, such as {}", key,
          like.is_array()            ? "a list"
          : like.is_string()         ? "a text"
          : like.is_number_integer() ? "a whole number"
                                     : "a number",
          like.dump());
}

}  // namespace

SparseGrid CenterPointConfig::grid() const {
  return {cells("z", range[2], range[5], voxel[2]) + 1, cells("y", range[1], range[4], voxel[1]),
          cells("x", range[0], range[3], voxel[0])};
}

std::vector<std::string> CenterPointConfig::labels() const {
  std::vector<std::string> all;
  for (const auto& task : tasks) all.insert(all.end(), task.begin(), task.end());
  return all;
}

void CenterPointConfig::validate() const {
  for (const double side : voxel) require(std::isfinite(side) && side > 0, "voxel: a side of {} m", side);
  const SparseGrid g = grid();
  require(g.x % 16 == 0 && g.y % 16 == 0, "range: {} x {} voxels, multiples of 16 were expected", g.x, g.y);
  require(g.z >= 15, "range: {} voxels high, at least 14 were expected", g.z - 1);
  check("centerpoint", g);
  check_limits(*this);
  check_tasks(*this);
}

bool same_scale(const CenterPointConfig& a, const CenterPointConfig& b) {
  return a.voxel == b.voxel && a.range[2] == b.range[2] && a.range[5] == b.range[5] && a.tasks == b.tasks;
}

CenterPointConfig centerpoint_preset(std::string_view name) {
  CenterPointConfig config;
  if (name == "0.075") return config;
  require(name == "0.1", "preset: '{}', 0.075 or 0.1 was expected", name);
  config.range = {-51.2, -51.2, -5, 51.2, 51.2, 3};
  config.voxel = {0.1, 0.1, 0.2};
  config.max_voxels = 120'000;
  return config;
}

CenterPointConfig centerpoint_config(const std::string& text, const std::string& where) {
  try {
    const json object = json::parse(text);
    require(object.is_object(), "an object such as {{\"preset\": \"0.1\"}} was expected");
    const auto preset = object.find("preset");
    require(preset == object.end() || preset->is_string(), "preset: a text was expected");
    CenterPointConfig config = centerpoint_preset(preset == object.end() ? "0.075" : preset->get<std::string>());
    const json defaults = json::parse(to_json(config));
    for (const auto& item : object.items()) {
      if (item.key() == "preset") continue;
      const auto like = defaults.find(item.key());
      if (like != defaults.end()) check_type(item.value(), item.key(), *like);
      read(item.value(), item.key(), config);
    }
    config.validate();
    return config;
  } catch (const json::exception& e) {
    fail("{}: not a valid configuration: {}", where, e.what());
  } catch (const Error& e) {
    fail("{}: {}", where, e.what());
  }
}

std::string to_json(const CenterPointConfig& c) {
  // (Floats as the shortest decimals that give them back.)
  const auto decimal = [](auto v) { return json::parse(fmt::format("{}", v)); };
  const auto list = [&](const auto& values) {
    json all = json::array();
    for (const auto v : values) all.push_back(decimal(v));
    return all;
  };
  const json j{{"range", list(c.range)},
               {"voxel", list(c.voxel)},
               {"max_points", c.max_points},
               {"max_voxels", c.max_voxels},
               {"center_range", list(c.center_range)},
               {"score_threshold", decimal(c.score_threshold)},
               {"most_candidates", c.most_candidates},
               {"most_boxes", c.most_boxes},
               {"nms", c.nms == CenterPointConfig::Nms::circle ? "circle" : "rotated"},
               {"overlap", decimal(c.overlap)},
               {"squared_radius", list(c.squared_radius)},
               {"tasks", c.tasks}};
  return j.dump();
}

}  // namespace octet::models
