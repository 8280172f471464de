#include "calib/ranges.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/arithmetic.h"
#include "runtime/error.h"
#include "runtime/float_environment.h"
#include "runtime/io/file.h"
#include "runtime/io/json_text.h"

namespace octet::calib {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr std::size_t kMaxFile = 16 << 20;

template <class T>
T choose(const json& value, std::initializer_list<T> choices, const char* what) {
  for (const T choice : choices) {
    if (value == name_of(choice)) return choice;
  }
  fail("the {} '{}' is unknown", what, json_text(value));
}

// Whole and within 16 bits: get<int>() would cut 3.7 to 3 and 2^32 to 0.
std::int32_t small_integer(const json& e, const char* key) {
  const json& value = e.at(key);
  require(value.is_number_integer() && value >= -32768 && value <= 32767, "\"{}\" is {}, a small integer was expected",
          key, json_text(value));
  return value.get<std::int32_t>();
}

std::string histogram_json(const EdgeRange& e) {
  std::string text;
  for (const auto& [rule, amax] : e.rules) {
    text += fmt::format("{}{}: {:.9g}", text.empty() ? ", \"rules\": {" : ", ", json(rule).dump(), amax);
  }
  if (!text.empty()) text += "}";
  if (e.histogram.counts.empty()) return text;
  return text + fmt::format(", \"histogram\": {{\"width\": {:.9g}, \"counts\": [{}]}}", e.histogram.width,
                            fmt::join(e.histogram.counts, ","));
}

// What only a report needs; files of before have neither.
void read_histogram(const json& e, EdgeRange& r) {
  constexpr std::size_t kMost = 4096;
  r.rules = e.value("rules", r.rules);
  for (const auto& [rule, amax] : r.rules) {
    require(std::isfinite(amax) && amax >= 0 && rule.size() < 64, "edge '{}': the rule {} chose {}", r.observer,
            printable(rule), amax);
  }
  if (!e.contains("histogram")) return;
  const json& h = e["histogram"];
  r.histogram.width = h.at("width").get<float>();
  r.histogram.counts = h.at("counts").get<std::vector<std::int64_t>>();
  const bool counts_fit = r.histogram.counts.size() <= kMost &&
                          std::ranges::all_of(r.histogram.counts, [](std::int64_t c) { return c >= 0; });
  require(counts_fit && std::isfinite(r.histogram.width) && r.histogram.width >= 0,
          "edge '{}': its histogram is broken", r.observer);
}

using ByLayer = std::map<std::string, std::vector<float>>;

// One layer a line; nothing where there are none.
std::string by_layer_json(const char* key, const ByLayer& values) {
  if (values.empty()) return {};
  std::string text = fmt::format("  \"{}\": {{\n", key);
  const char* separator = "";
  for (const auto& [layer, numbers] : values) {
    text += fmt::format("{}    {}: [{:.9g}]", separator, json(layer).dump(), fmt::join(numbers, ","));
    separator = ",\n";
  }
  return text + "\n  },\n";
}

void check_numbers(const ByLayer& values, const char* what, float least) {
  for (const auto& [layer, numbers] : values) {
    const bool fine = std::ranges::all_of(numbers, [&](float v) { return std::isfinite(v) && v >= least; });
    require(fine && !numbers.empty(), "the {} of '{}' are not such numbers", what, printable(layer));
  }
}

EdgeRange edge_from_json(const json& e) {
  EdgeRange r;
  r.observer = e.at("name").get<std::string>();
  r.amax = e.at("amax").get<float>(), r.min = e.at("min").get<float>(), r.max = e.at("max").get<float>();
  r.quant.step = e.at("step").get<float>();
  r.quant.zero = small_integer(e, "zero"), r.quant.lo = small_integer(e, "lo"), r.quant.hi = small_integer(e, "hi");
  r.quant.dead = e.value("dead", false);
  const bool finite = std::isfinite(r.amax) && std::isfinite(r.min) && std::isfinite(r.max);
  require(finite && r.amax >= 0, "edge '{}': the amax {} is not a finite number >= 0", r.observer, r.amax);
  require(r.min <= r.max, "edge '{}': the range [{}, {}] is empty", r.observer, r.min, r.max);
  require(!r.quant.dead || r.amax <= arithmetic::kDeadRange, "edge '{}': marked dead, but its amax is {}", r.observer,
          r.amax);
  require(std::isnormal(r.quant.step) && r.quant.step > 0, "edge '{}': the step {} is not a positive number",
          r.observer, r.quant.step);
  const bool fits = (r.quant.wide() && r.quant.zero == 0) || (r.quant.lo >= -128 && r.quant.hi <= 127) ||
                    (r.quant.lo >= 0 && r.quant.hi <= 255);
  read_histogram(e, r);
  require(fits && r.quant.lo < r.quant.hi && r.quant.zero >= r.quant.lo && r.quant.zero <= r.quant.hi,
          "edge '{}': zero point {} and range [{}, {}] do not make 8 bits", r.observer, r.quant.zero, r.quant.lo,
          r.quant.hi);
  return r;
}

}  // namespace

const char* name_of(Scheme scheme) { return scheme == Scheme::symmetric ? "symmetric" : "affine"; }
const char* name_of(Granularity granularity) { return granularity == Granularity::channel ? "channel" : "tensor"; }
const char* name_of(Preset preset) {
  constexpr const char* names[] = {"none", "notebook", "simple", "x86"};
  return names[static_cast<int>(preset)];
}

const EdgeRange* Ranges::find(std::string_view observer) const {
  const auto found = std::ranges::find(edges, observer, &EdgeRange::observer);
  return found == edges.end() ? nullptr : &*found;
}

void Ranges::check(const Graph& graph) const {
  require(model == graph.name(), "these ranges are of '{}', the model is '{}'", model, graph.name());
  for (const Edge& edge : graph.edges()) {
    require(partial || edge.observer.empty() || find(edge.observer) != nullptr, "the ranges of '{}' lack the edge '{}'",
            model, edge.observer);
  }
  require(preset != Preset::notebook || scheme == Scheme::symmetric, "the notebook's arithmetic has no zero points");
  for (const EdgeRange& range : edges) {
    require(preset != Preset::notebook || (std::isfinite(127.0f / range.amax) && !range.quant.dead),
            "the edge '{}' has the amax {}: the notebook's scale 127 / amax would be infinite", range.observer,
            range.amax);
    require(graph.observed(range.observer) >= 0, "the ranges hold the edge '{}', which '{}' does not have",
            range.observer, graph.name());
  }
}

QuantParams quant_params(Scheme scheme, bool reduce_range, float amax, float min, float max, int num_bits) {
  require(num_bits >= 2 && num_bits <= 8, "activations of {} bits: 2 to 8 run as integers", num_bits);
  const FloatEnvironment environment;
  QuantParams q;
  if (amax <= arithmetic::kDeadRange) q.dead = true;
  if (scheme == Scheme::symmetric) {
    q.hi = (1 << (num_bits - 1)) - 1, q.lo = -q.hi;
    q.step = arithmetic::symmetric_step(amax, q.hi);
    return q;
  }
  q.lo = 0, q.hi = (1 << (reduce_range ? num_bits - 1 : num_bits)) - 1;
  if (q.dead) return q;
  const double low = std::min(0.0, static_cast<double>(min)), high = std::max(0.0, static_cast<double>(max));
  q.step = static_cast<float>((high - low) / (q.hi - q.lo));
  q.zero = std::clamp(q.lo - static_cast<std::int32_t>(std::nearbyint(low / static_cast<double>(q.step))), q.lo, q.hi);
  return q;
}

std::string to_json(const Ranges& r) {
  std::string text = fmt::format(
      "{{\n  \"octet_ranges\": {},\n  \"model\": {},\n  \"method\": {},\n  \"scheme\": \"{}\",\n  \"weights\": "
      "\"{}\",\n"
      "  \"preset\": \"{}\",\n  \"images\": {},\n  \"seeded\": {},\n  \"data\": {},\n  \"ignore\": {},\n  \"only\": "
      "{},\n",
      kVersion, json(r.model).dump(), json(r.method).dump(), name_of(r.scheme), name_of(r.weights), name_of(r.preset),
      r.images, r.seeded, json(r.data).dump(), json(r.ignore).dump(), json(r.only).dump());
  if (r.num_bits != 8) text += fmt::format("  \"num_bits\": {},\n", r.num_bits);
  if (r.reduce_range) text += "  \"reduce_range\": true,\n";
  if (r.share_add_range) text += "  \"share_add_range\": true,\n";
  if (r.add_observer != "output") text += fmt::format("  \"add_observer\": {},\n", json(r.add_observer).dump());
  if (r.equalized) text += "  \"equalized\": true,\n";
  if (r.partial) text += "  \"partial\": true,\n";
  text += by_layer_json("input_means", r.input_means) + by_layer_json("weight_amax", r.weight_amax);
  text += "  \"edges\": [";
  const char* separator = "\n";
  for (const EdgeRange& e : r.edges) {
    text += fmt::format(
        "{}    {{\"name\": {}, \"amax\": {:.9g}, \"min\": {:.9g}, \"max\": {:.9g}, \"step\": {:.9g}, \"zero\": {}, "
        "\"lo\": {}, \"hi\": {}{}{}}}",
        separator, json(e.observer).dump(), e.amax, e.min, e.max, e.quant.step, e.quant.zero, e.quant.lo, e.quant.hi,
        e.quant.dead ? ", \"dead\": true" : "", histogram_json(e));
    separator = ",\n";
  }
  return text + "\n  ]\n}\n";
}

Ranges ranges_from_json(const std::string& text, const std::string& where) {
  try {
    const json j = json::parse(text);
    require(j.is_object() && j.contains("octet_ranges"), "no \"octet_ranges\" key: not a ranges file");
    require(j["octet_ranges"] == kVersion, "version {} of the format, {} was expected", json_text(j["octet_ranges"]),
            kVersion);
    Ranges r;
    r.model = j.at("model").get<std::string>();
    r.method = j.at("method").get<std::string>();
    r.scheme = choose(j.at("scheme"), {Scheme::symmetric, Scheme::affine}, "scheme");
    r.weights = choose(j.at("weights"), {Granularity::channel, Granularity::tensor}, "weights granularity");
    r.preset = choose(j.at("preset"), {Preset::none, Preset::notebook, Preset::simple, Preset::x86}, "preset");
    r.num_bits = j.contains("num_bits") ? small_integer(j, "num_bits") : 8;
    require(r.num_bits >= 2 && r.num_bits <= 8, "{} bits: 2 to 8 were expected", r.num_bits);
    r.reduce_range = j.value("reduce_range", false), r.share_add_range = j.value("share_add_range", false);
    r.add_observer = j.value("add_observer", "output");
    r.equalized = j.value("equalized", false);
    r.partial = j.value("partial", false);
    r.input_means = j.value("input_means", r.input_means);
    r.weight_amax = j.value("weight_amax", r.weight_amax);
    check_numbers(r.input_means, "input means", std::numeric_limits<float>::lowest());
    check_numbers(r.weight_amax, "weights' amax", 0);
    r.images = j.at("images").get<std::int64_t>();
    require(r.images >= 0, "{} images", r.images);
    r.seeded = j.value("seeded", false);
    r.data = j.value("data", "");
    r.ignore = j.value("ignore", r.ignore), r.only = j.value("only", r.only);
    for (const json& e : j.at("edges")) {
      EdgeRange edge = edge_from_json(e);
      require(r.find(edge.observer) == nullptr, "the edge '{}' stands twice", edge.observer);
      r.edges.push_back(std::move(edge));
    }
    return r;
  } catch (const json::exception& e) {
    fail("{}: not a valid ranges file: {}", where, e.what());
  } catch (const Error& e) {
    fail("{}: {}", where, e.what());
  }
}

Ranges load_ranges(const std::filesystem::path& path) {
  return ranges_from_json(read_text_file(path, kMaxFile), path.string());
}

void save_ranges(const Ranges& ranges, const std::filesystem::path& path) {
  write_file_atomically(path, std::string_view(to_json(ranges)));
}

}  // namespace octet::calib
