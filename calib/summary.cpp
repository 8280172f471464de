#include "calib/summary.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "runtime/error.h"
#include "runtime/io/file.h"

namespace octet::calib {
namespace {

using json = nlohmann::ordered_json;

constexpr std::size_t kMaxFile = 64 << 20;

// JSON knows no infinity: no noise at all is null.
json decibels(double value) { return std::isfinite(value) ? json(value) : json(); }
double decibels_from(const json& j) { return j.is_null() ? std::numeric_limits<double>::infinity() : j.get<double>(); }

}  // namespace

std::string to_json(const Summary& s) {
  json plan = json::array(), noise = json::array(), seconds = json::object();
  for (const PlanRow& row : s.plan) {
    plan.push_back(
        {{"name", row.name}, {"op", row.op}, {"precision", row.precision}, {"variant", row.variant}, {"why", row.why}});
  }
  for (const std::string& edge : s.edge_order) {
    noise.push_back({{"name", edge}, {"sqnr_db", decibels(s.edge_sqnr.at(edge))}});
  }
  for (const auto& [stage, time] : s.seconds) seconds[stage] = time;
  json all = {{"model", s.model},
              {"method", s.method},
              {"metric", s.metric()},
              {"count", s.count},
              {"origin", s.origin.score()},
              {"ptq", s.ptq.score()},
              {"drop", s.drop()},
              {"agreement", s.ptq.agreement},
              {"sqnr_db", decibels(s.ptq.sqnr_db)},
              {"cosine", s.ptq.cosine},
              {"on_calibration_data", s.calibration_overlap > 0},
              {"calibration_overlap", s.calibration_overlap},
              {"sizes", {{"fp32", s.fp32_bytes}, {"int8", s.int8_bytes}}},
              {"float_layers", s.float_layers},
              {"edges", noise},
              {"plan", plan},
              {"time", seconds}};
  if (s.auto_ignore) all["auto_ignore"] = {{"points", *s.auto_ignore}, {"below", s.within_auto_ignore()}};
  if (s.origin.nds && s.ptq.nds) all["NDS"] = {{"origin", *s.origin.nds}, {"ptq", *s.ptq.nds}};
  return all.dump(4) + "\n";
}

Summary summary_from_json(const std::string& text, const std::string& where) {
  try {
    const json j = json::parse(text);
    Summary s;
    s.model = j.at("model").get<std::string>(), s.method = j.at("method").get<std::string>();
    s.count = j.at("count").get<std::int64_t>();
    // Files of before say only whether all of them did.
    s.calibration_overlap =
        j.value("calibration_overlap", j.at("on_calibration_data").get<bool>() ? s.count : std::int64_t{0});
    require(s.count >= 0 && s.calibration_overlap >= 0 && s.calibration_overlap <= s.count,
            "{} of {} samples calibrated", s.calibration_overlap, s.count);
    const double origin = j.at("origin").get<double>(), ptq = j.at("ptq").get<double>();
    if (j.at("metric") == "top1") s.origin.top1 = origin, s.ptq.top1 = ptq;
    if (j.at("metric") == "mAP") s.origin.mean_ap = origin, s.ptq.mean_ap = ptq;
    if (j.contains("NDS"))
      s.origin.nds = j["NDS"].at("origin").get<double>(), s.ptq.nds = j["NDS"].at("ptq").get<double>();
    if (j.contains("auto_ignore")) s.auto_ignore = j["auto_ignore"].at("points").get<double>();
    s.origin.agreement = 100, s.ptq.agreement = j.at("agreement").get<double>();
    s.origin.sqnr_db = std::numeric_limits<double>::infinity();
    s.ptq.sqnr_db = decibels_from(j.at("sqnr_db")), s.ptq.cosine = j.at("cosine").get<double>();
    s.fp32_bytes = j.at("sizes").at("fp32").get<std::int64_t>();
    s.int8_bytes = j.at("sizes").at("int8").get<std::int64_t>();
    s.float_layers = j.at("float_layers").get<std::vector<std::string>>();
    for (const json& edge : j.at("edges")) {
      s.edge_order.push_back(edge.at("name").get<std::string>());
      s.edge_sqnr[s.edge_order.back()] = decibels_from(edge.at("sqnr_db"));
    }
    for (const json& row : j.at("plan")) {
      const auto at = [&](const char* key) { return row.at(key).get<std::string>(); };
      s.plan.push_back({at("name"), at("op"), at("precision"), at("variant"), at("why")});
    }
    for (const auto& [stage, time] : j.at("time").items()) s.seconds[stage] = time.get<double>();
    return s;
  } catch (const json::exception& e) {
    fail("{}: not a PTQ summary: {}", where, e.what());
  } catch (const Error& e) {
    fail("{}: not a PTQ summary: {}", where, e.what());
  }
}

void save_summary(const Summary& summary, const std::filesystem::path& path) {
  write_file_atomically(path, std::string_view(to_json(summary)));
}

Summary load_summary(const std::filesystem::path& path) {
  return summary_from_json(read_text_file(path, kMaxFile), path.string());
}

}  // namespace octet::calib
