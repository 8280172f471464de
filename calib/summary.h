// What one PTQ run came to: summary.json, and the part of a report that ranges and sensitivity do not hold.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "calib/sensitivity.h"

namespace octet::calib {

struct PlanRow {  // one layer, as `octet plan` shows it
  std::string name, op, precision, variant, why;
};

struct Summary {  // sizes in bytes
  std::string model, method;
  std::int64_t count = 0;                // samples scored
  std::int64_t calibration_overlap = 0;  // how many of them calibrated too
  Measurement origin, ptq;               // the float network and the quantised one
  std::int64_t fp32_bytes = 0, int8_bytes = 0;
  std::optional<double> auto_ignore;        // the points that the loss was to stay below
  std::vector<std::string> float_layers;    // left in float by expression or by --auto-ignore
  std::map<std::string, double> edge_sqnr;  // by observer, dB
  std::vector<std::string> edge_order;      // the keys of edge_sqnr in the network's order
  std::vector<PlanRow> plan;
  std::map<std::string, double> seconds;  // by stage; the only thing that differs from run to run

  std::string metric() const { return origin.metric(); }
  double drop() const { return origin.score() - ptq.score(); }
  // Of the samples scored here; those that chose the layers are others.
  bool within_auto_ignore() const { return auto_ignore && drop() < *auto_ignore; }
};

std::string to_json(const Summary& summary);                                   // summary.json
Summary summary_from_json(const std::string& text, const std::string& where);  // throws Error
void save_summary(const Summary& summary, const std::filesystem::path& path);  // atomically
Summary load_summary(const std::filesystem::path& path);                       // throws Error naming the file

}  // namespace octet::calib
