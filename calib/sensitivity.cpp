#include "calib/sensitivity.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "calib/quantise.h"
#include "calib/switches.h"
#include "runtime/error.h"
#include "runtime/io/file.h"
#include "runtime/io/json_text.h"

namespace octet::calib {
namespace {

using json = nlohmann::ordered_json;  // keys stay in the order in which they are written

constexpr std::size_t kMaxFile = 64 << 20;
constexpr int kVersion = 1;

struct Part {
  std::string name;
  bool block;

  std::string expression() const { return block ? below(name) : exactly(name); }
};

// Layers that are INT8 with these ranges, and the blocks that they make, outer blocks before what is in them.
std::vector<Part> parts_of(const Graph& graph, const Ranges& ranges, bool with_blocks) {
  const QGraph whole = quantise(graph, ranges);
  std::vector<std::string> names;
  for (const std::string& layer : quantisable_layers(graph)) {
    const auto node = std::ranges::find(whole.nodes, layer, &QNode::name);
    if (node != whole.nodes.end() && node->precision == Precision::int8) names.push_back(layer);
  }
  const std::vector<std::string> blocks = with_blocks ? blocks_of(names) : std::vector<std::string>{};
  std::vector<Part> parts;
  for (const std::string& name : names) {
    for (const std::string& block : blocks) {
      const bool here = name.starts_with(block + ".");
      const bool known = std::ranges::any_of(parts, [&](const Part& p) { return p.block && p.name == block; });
      if (here && !known) parts.push_back({block, true});
    }
    parts.push_back({name, false});
  }
  return parts;
}

QGraph with_part(const Graph& graph, const Ranges& ranges, const Part& part, SensitivityMode mode) {
  QuantiseOptions options;
  (mode == SensitivityMode::alone ? options.only : options.ignore).push_back(part.expression());
  if (mode == SensitivityMode::leave_out || ranges.only.empty()) return quantise(graph, ranges, options);
  // quantise() joins the lists, so that --only of the ranges would let all of its layers in again.
  Ranges alone = ranges;
  alone.only.clear();
  return quantise(graph, alone, options);
}

// JSON knows no infinity: no noise at all is null.
json decibels(double value) { return std::isfinite(value) ? json(value) : json(); }

json measurement_json(const Measurement& m) {
  json j = json::object();
  j["score"] = m.labelled() ? json(m.score()) : decibels(m.sqnr_db);
  j["top1"] = m.top1 ? json(*m.top1) : json();
  if (m.mean_ap) j["mAP"] = *m.mean_ap;
  if (m.nds) j["NDS"] = *m.nds;
  j["agreement"] = m.agreement;
  j["sqnr_db"] = decibels(m.sqnr_db);
  j["cosine"] = m.cosine;
  return j;
}

Measurement measurement_from(const json& j) {
  Measurement m;
  if (!j.at("top1").is_null()) m.top1 = j.at("top1").get<double>();
  if (j.contains("mAP")) m.mean_ap = j.at("mAP").get<double>();
  if (j.contains("NDS")) m.nds = j.at("NDS").get<double>();
  m.agreement = j.at("agreement").get<double>(), m.cosine = j.at("cosine").get<double>();
  m.sqnr_db = j.at("sqnr_db").is_null() ? std::numeric_limits<double>::infinity() : j.at("sqnr_db").get<double>();
  return m;
}

}  // namespace

const char* name_of(SensitivityMode mode) { return mode == SensitivityMode::leave_out ? "leave-out" : "alone"; }

std::vector<LayerSensitivity> Sensitivity::ranked() const {
  std::vector<LayerSensitivity> order = layers;
  const double sign = mode == SensitivityMode::leave_out ? 1 : -1;
  std::ranges::stable_sort(order, [&](const LayerSensitivity& a, const LayerSensitivity& b) {
    const auto keys = [&](const Measurement& m) {
      return std::pair{sign * (m.labelled() ? m.score() : m.sqnr_db), sign * (m.labelled() ? m.sqnr_db : m.cosine)};
    };
    return keys(a.measured) > keys(b.measured);
  });
  return order;
}

Sensitivity analyse(const Graph& graph, const Ranges& ranges, const Measure& measure, const SensitivityOptions& options,
                    const SensitivityProgress& progress) {
  const std::vector<Part> parts = parts_of(graph, ranges, options.blocks);
  require(!parts.empty(), "{}: no layer is INT8 with these ranges, so there is nothing to analyse", graph.name());
  Sensitivity result;
  if (options.resume && options.resume->mode == options.mode && options.resume->layers.size() <= parts.size()) {
    result = *options.resume;
    for (std::size_t i = 0; i < result.layers.size(); ++i) {
      require(result.layers[i].name == parts[i].name, "the analysis to go on with measured '{}' where '{}' is expected",
              result.layers[i].name, parts[i].name);
    }
  } else {
    result.fp32 = measure(as_float(graph));
    result.int8 = measure(quantise(graph, ranges));
  }
  result.model = graph.name();
  result.mode = options.mode;
  for (std::size_t i = result.layers.size(); i < parts.size(); ++i) {
    const QGraph network = with_part(graph, ranges, parts[i], options.mode);
    result.layers.push_back({parts[i].name, parts[i].block, measure(network)});
    result.complete = i + 1 == parts.size();
    if (progress) progress(result, parts.size());
  }
  result.complete = true;
  return result;
}

namespace {

// The ranking without blocks, and without layers that only move integers: those in float change nothing.
std::vector<LayerSensitivity> layers_that_compute(const Graph& graph, const Sensitivity& sensitivity) {
  std::vector<LayerSensitivity> order = sensitivity.ranked();
  std::erase_if(order, [&](const LayerSensitivity& layer) {
    const auto node = std::ranges::find(graph.nodes(), layer.name, &Node::name);
    return layer.block || (node != graph.nodes().end() && moves_values(node->op));
  });
  return order;
}

// What is left of a sufficient list when every layer is dropped that the others do without; and where few came into
// question, the smallest sufficient choice of them.
template <class With>
AutoIgnore fewer(AutoIgnore found, const With& with, double floor) {
  constexpr std::size_t kFew = 6;  // 2^6 choices
  std::vector<std::string> few = found.layers;
  few.resize(std::min(few.size(), kFew));
  for (std::size_t i = found.layers.size(); i-- > 0 && found.layers.size() > 1;) {
    std::vector<std::string> others = found.layers;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    AutoIgnore tried = with(std::move(others));
    if (tried.reached.score() > floor) found = std::move(tried);
  }
  for (std::size_t size = 2; size < found.layers.size();
       ++size) {  // (no single layer is better than the ranking's first)
    for (unsigned chosen = 0; chosen < 1u << few.size(); ++chosen) {
      if (static_cast<std::size_t>(std::popcount(chosen)) != size) continue;
      std::vector<std::string> layers;
      for (std::size_t i = 0; i < few.size(); ++i) {
        if ((chosen >> i & 1) != 0) layers.push_back(few[i]);
      }
      AutoIgnore tried = with(std::move(layers));
      if (tried.reached.score() > floor) return tried;
    }
  }
  return found;
}

}  // namespace

AutoIgnore choose_ignored(const Graph& graph, const Ranges& ranges, const Sensitivity& sensitivity,
                          const Measure& measure, double points) {
  require(sensitivity.mode == SensitivityMode::leave_out, "layers to ignore are chosen from a leave-out analysis");
  const double floor = sensitivity.fp32.score() - points;
  AutoIgnore result{.reached = sensitivity.int8};
  if (result.reached.score() > floor) return result;
  const auto with = [&](std::vector<std::string> layers) {
    Ranges tried = ranges;
    for (const std::string& layer : layers) tried.ignore.push_back(exactly(layer));
    return AutoIgnore{std::move(layers), measure(quantise(graph, tried))};
  };
  const std::vector<LayerSensitivity> order = layers_that_compute(graph, sensitivity);
  for (const LayerSensitivity& layer : order) {
    result.layers.push_back(layer.name);
    // The first of the ranking is measured already.
    if (result.layers.size() == 1) {
      result.reached = layer.measured;
    } else {
      result = with(std::move(result.layers));
    }
    if (result.reached.score() > floor) return fewer(std::move(result), with, floor);
  }
  fail("--auto-ignore {}: with all {} layers in float the score is {:.2f}, the float network's {:.2f}", points,
       order.size(), result.reached.score(), sensitivity.fp32.score());
}

std::string to_json(const Sensitivity& s) {
  json layers = json::array();
  for (const LayerSensitivity& layer : s.layers) {
    json j = {{"name", layer.name}, {"kind", layer.block ? "block" : "layer"}};
    j.update(measurement_json(layer.measured));
    layers.push_back(std::move(j));
  }
  const json all = {{"octet_sensitivity", kVersion},
                    {"model", s.model},
                    {"mode", name_of(s.mode)},
                    {"metric", s.fp32.labelled() ? s.fp32.metric() : "sqnr_db"},
                    {"images", s.images},
                    {"data", s.data},
                    {"complete", s.complete},
                    {"fp32", measurement_json(s.fp32)},
                    {"int8", measurement_json(s.int8)},
                    {"layers", layers}};
  return all.dump(4) + "\n";
}

Sensitivity sensitivity_from_json(const std::string& text, const std::string& where) {
  try {
    const json j = json::parse(text);
    require(j.is_object() && j.contains("octet_sensitivity"), "no \"octet_sensitivity\" key: not a sensitivity file");
    require(j["octet_sensitivity"] == kVersion, "version {} of the format, {} was expected",
            json_text(j["octet_sensitivity"]), kVersion);
    Sensitivity s;
    s.model = j.at("model").get<std::string>(), s.data = j.at("data").get<std::string>();
    const std::string mode = j.at("mode").get<std::string>();
    require(mode == "leave-out" || mode == "alone", "the mode '{}' is unknown", printable(mode));
    s.mode = mode == "alone" ? SensitivityMode::alone : SensitivityMode::leave_out;
    s.images = j.at("images").get<std::int64_t>(), s.complete = j.at("complete").get<bool>();
    s.fp32 = measurement_from(j.at("fp32")), s.int8 = measurement_from(j.at("int8"));
    for (const json& layer : j.at("layers")) {
      s.layers.push_back({layer.at("name").get<std::string>(), layer.at("kind") == "block", measurement_from(layer)});
    }
    return s;
  } catch (const json::exception& e) {
    fail("{}: not a valid sensitivity file: {}", where, e.what());
  } catch (const Error& e) {
    fail("{}: {}", where, e.what());
  }
}

void save_sensitivity(const Sensitivity& sensitivity, const std::filesystem::path& path) {
  write_file_atomically(path, std::string_view(to_json(sensitivity)));
}

Sensitivity load_sensitivity(const std::filesystem::path& path) {
  return sensitivity_from_json(read_text_file(path, kMaxFile), path.string());
}

}  // namespace octet::calib
