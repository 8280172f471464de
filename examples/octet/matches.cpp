#include "examples/octet/matches.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/error.h"
#include "runtime/io/file.h"

namespace octet::cli {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMostBytes = 1u << 30;
constexpr int kVersion = 1;

// [class: [true boxes, [[score, matched, errors ...], ...]], ...]
json pack(const models::FrameMatches& frame) {
  json classes = json::array();
  for (const models::ClassMatches& c : frame) {
    json found = json::array();
    for (const auto& f : c.found) {
      json row = {f.score, f.matched};
      for (const double e : f.errors) row.push_back(std::isnan(e) ? json() : json(e));
      found.push_back(std::move(row));
    }
    classes.push_back({c.truth, std::move(found)});
  }
  return classes;
}

models::FrameMatches unpack(const json& classes) {
  const std::size_t kinds = models::nuscenes_rules().kinds.size();
  require(classes.is_array() && classes.size() == kinds, "a frame of {} classes was expected", kinds);
  models::FrameMatches frame;
  for (const json& c : classes) {
    models::ClassMatches& own = frame.emplace_back();
    own.truth = c.at(0).get<std::int64_t>();
    require(own.truth >= 0, "a frame with {} true boxes", own.truth);
    for (const json& row : c.at(1)) {
      auto& found = own.found.emplace_back();
      found.score = row.at(0).get<double>(), found.matched = row.at(1).get<std::uint8_t>();
      for (std::size_t e = 0; e < models::kTpErrors; ++e) {
        found.errors[e] = row.at(2 + e).is_null() ? std::nan("") : row.at(2 + e).get<double>();
      }
    }
  }
  return frame;
}

}  // namespace

std::string to_json(const models::FrameMatches& frame) { return pack(frame).dump(); }

models::FrameMatches frame_matches_from_json(const std::string& text) {
  try {
    const json classes = json::parse(text);
    return unpack(classes);
  } catch (const json::exception& e) {
    fail("not a frame's matches: {}", e.what());
  }
}

void save_matches(const Matches& m, const std::filesystem::path& path) {
  json frames = json::array();
  for (std::size_t i = 0; i < m.frames.size(); ++i)
    frames.push_back({{"name", m.names[i]}, {"classes", pack(m.frames[i])}});
  const json all = {{"octet_matches", kVersion}, {"model", m.model}, {"precision", m.precision}, {"frames", frames}};
  write_file_atomically(path, std::string_view(all.dump() + "\n"));
}

Matches load_matches(const std::filesystem::path& path) {
  const std::string text = read_text_file(path, kMostBytes);
  try {
    const json all = json::parse(text);
    require(all.is_object() && all.contains("octet_matches") && all["octet_matches"] == kVersion,
            "no \"octet_matches\": {}: not what --save-matches writes", kVersion);
    Matches m{.model = all.at("model").get<std::string>(), .precision = all.at("precision").get<std::string>()};
    for (const json& frame : all.at("frames")) {
      m.names.push_back(frame.at("name").get<std::string>());
      m.frames.push_back(unpack(frame.at("classes")));
    }
    return m;
  } catch (const json::exception& e) {
    fail("{}: not what --save-matches writes: {}", path.string(), e.what());
  } catch (const Error& e) {
    fail("{}: {}", path.string(), e.what());
  }
}

}  // namespace octet::cli
