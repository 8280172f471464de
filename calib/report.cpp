#include "calib/report.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "runtime/error.h"
#include "runtime/io/markup.h"

namespace octet::calib {
namespace {

constexpr double kPlotWidth = 320, kPlotHeight = 96, kPlotBase = 112;  // a histogram's bars stand on kPlotBase
constexpr int kBarsShown = 40;                                         // of a ranking

constexpr const char* kStyle = R"(
body{font:15px/1.45 system-ui,sans-serif;color:#1c2733;background:#fff;max-width:1110px;margin:2em auto;padding:0 1em}
h1{font-size:1.6em;margin:0}h2{font-size:1.15em;margin:2em 0 .5em;border-bottom:1px solid #d5dde5;padding-bottom:.2em}
p{margin:.4em 0}.note{color:#5a6b7b}
table{border-collapse:collapse;font-size:13px}th,td{padding:.25em .8em;text-align:left;border-bottom:1px solid #e6ebf0}
th{color:#5a6b7b;font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.edges{display:flex;flex-wrap:wrap;gap:14px}.edges .note{font-size:12px}figure{width:330px;margin:0;padding:8px 10px;border:1px solid #e0e6ec;border-radius:6px}
figcaption{font-weight:600;font-size:13px}svg{display:block}svg text{font:11px system-ui,sans-serif;fill:#34414e}
.legend span{display:inline-block;margin-right:1.2em}.legend i{display:inline-block;width:18px;height:0;
border-top:3px solid;margin-right:.4em;vertical-align:middle}
)";

struct RuleColour {
  const char* rule;
  const char* colour;
};
constexpr RuleColour kColours[] = {
    {"max", "#5a6b7b"}, {"entropy", "#1668c4"}, {"mse", "#12883f"}, {"percentile", "#c2570c"}};
constexpr const char* kChosen = "#1c2733";

std::string megabytes(std::int64_t bytes) { return fmt::format("{:.3f} MB", static_cast<double>(bytes) / 1e6); }

double upper_of(const EdgeRange& edge) {
  double upper = static_cast<double>(edge.histogram.width) * static_cast<double>(edge.histogram.counts.size());
  for (const auto& [rule, amax] : edge.rules) upper = std::max(upper, static_cast<double>(amax));
  return std::max(upper, static_cast<double>(edge.amax));
}

// Counts on a logarithmic axis: a ReLU's zeros are a million, its tail is one by one.
std::string histogram_svg(const EdgeRange& edge) {
  std::int64_t highest = 1;
  for (const std::int64_t c : edge.histogram.counts) highest = std::max(highest, c);
  const double top = std::log1p(static_cast<double>(highest)), width = edge.histogram.width;
  std::string svg =
      fmt::format("<svg width=\"{0:.0f}\" height=\"134\" viewBox=\"0 0 {0:.0f} 134\" role=\"img\">", kPlotWidth + 10);
  for (std::size_t i = 0; i < edge.histogram.counts.size(); ++i) {
    const std::int64_t count = edge.histogram.counts[i];
    if (count == 0) continue;
    const double height = std::max(1.0, kPlotHeight * std::log1p(static_cast<double>(count)) / top);
    const double left = report_x(edge, width * static_cast<double>(i));
    const double right = report_x(edge, width * static_cast<double>(i + 1));
    svg += fmt::format("<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" fill=\"#b9cbdd\"/>", left,
                       kPlotBase - height, std::max(0.4, right - left), height);
  }
  const auto line = [&](const char* kind, float amax, const char* colour, bool chosen) {
    svg += fmt::format(
        "<line class=\"{0}\" x1=\"{1:.2f}\" y1=\"6\" x2=\"{1:.2f}\" y2=\"{2}\" stroke=\"{3}\" "
        "stroke-width=\"{4}\"{5}/>",
        kind, report_x(edge, static_cast<double>(amax)), kPlotBase, colour, chosen ? 2.5 : 1.5,
        chosen ? "" : " stroke-dasharray=\"4 3\"");
  };
  bool by_rule = false;  // moving averages and searches for affine ranges choose what no rule does
  for (const auto& [rule, colour] : kColours) {
    const auto found = edge.rules.find(rule);
    if (found == edge.rules.end()) continue;
    by_rule |= found->second == edge.amax;
    line(rule, found->second, colour, found->second == edge.amax);
  }
  if (!by_rule) line("chosen", edge.amax, kChosen, true);
  svg += fmt::format("<line x1=\"0\" y1=\"{0}\" x2=\"{1}\" y2=\"{0}\" stroke=\"#8b99a7\"/>", kPlotBase, kPlotWidth);
  svg += fmt::format("<text x=\"0\" y=\"127\">0</text><text x=\"{}\" y=\"127\" text-anchor=\"end\">{:.4g}</text></svg>",
                     kPlotWidth, upper_of(edge));
  return svg;
}

struct Bar {
  std::string name;
  double value;
  std::string label;
};

// Horizontal bars from `from` to `to`.
std::string bars_svg(const std::vector<Bar>& bars, double from, double to, const char* colour) {
  constexpr double kLeft = 260, kWidth = 560, kRow = 19;
  const double height = kRow * static_cast<double>(bars.size()) + 6;
  std::string svg =
      fmt::format("<svg width=\"940\" height=\"{0:.0f}\" viewBox=\"0 0 940 {0:.0f}\" role=\"img\">", height);
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const double y = kRow * static_cast<double>(i) + 3;
    const double share = to > from ? std::clamp((bars[i].value - from) / (to - from), 0.0, 1.0) : 0.0;
    svg += fmt::format("<text x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", kLeft - 8, y + 12,
                       markup_escaped(bars[i].name));
    svg += fmt::format("<rect x=\"{:.0f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"14\" fill=\"{}\"/>", kLeft, y,
                       std::max(1.0, share * kWidth), colour);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", kLeft + share * kWidth + 8, y + 12,
                       markup_escaped(bars[i].label));
  }
  return svg + "</svg>";
}

std::string counted(std::int64_t count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string decibels(double value) { return std::isfinite(value) ? fmt::format("{:.1f} dB", value) : "exact"; }

const char* title_of(const Measurement& m) { return m.mean_ap ? "mAP" : m.top1 ? "top-1" : "same class as FP32"; }

std::string overlap_text(const Summary& s) {
  if (s.calibration_overlap == 0) return "";
  const bool all = s.calibration_overlap == s.count;
  return fmt::format(" {} calibrated the model: the score says {}.",
                     all ? "These very samples" : fmt::format("{} of them", s.calibration_overlap),
                     all ? "little" : "less than it seems");
}

std::string accuracy(const Summary& s) {
  std::string html =
      fmt::format("<h2>Accuracy and size</h2><table><tr><th></th><th class=\"n\">{}</th>", title_of(s.origin));
  html += "<th class=\"n\">SQNR of the outputs</th><th class=\"n\">file</th></tr>";
  const auto row = [&](const char* name, const Measurement& m, std::int64_t bytes) {
    html +=
        fmt::format("<tr><td>{}</td><td class=\"n\">{:.2f} %</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                    name, m.score(), decibels(m.sqnr_db), megabytes(bytes));
  };
  row("FP32", s.origin, s.fp32_bytes);
  row("INT8", s.ptq, s.int8_bytes);
  html += fmt::format("</table><p>{}; drop {:.2f} points; {:.2f} % have FP32's best class.{}</p>",
                      counted(s.count, "sample"), s.drop(), s.ptq.agreement, overlap_text(s));
  if (s.origin.nds && s.ptq.nds) {
    html += fmt::format("<p>NDS: FP32 {:.2f} %, INT8 {:.2f} %</p>", *s.origin.nds, *s.ptq.nds);
  }
  if (!s.float_layers.empty()) {
    html += fmt::format("<p>Left in float: {}</p>", markup_escaped(fmt::format("{}", fmt::join(s.float_layers, ", "))));
  }
  return html;
}

// Bars of the score where there are labels and the scores differ, else of the outputs' signal to noise, by which layers
// of one score are ranked. What has no noise fills its bar.
std::string ranking(const Sensitivity& s) {
  std::vector<LayerSensitivity> order = s.ranked();
  const bool labelled = s.fp32.labelled();
  const bool differ = std::ranges::any_of(
      order, [&](const LayerSensitivity& l) { return l.measured.score() != order.front().measured.score(); });
  const bool by_score = labelled && differ;
  if (order.size() > kBarsShown) order.resize(kBarsShown);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double low = kInfinity, high = -kInfinity;
  const auto take = [&](const Measurement& m) {
    const double value = by_score ? m.score() : m.sqnr_db;
    if (std::isfinite(value)) low = std::min(low, value), high = std::max(high, value);
    return value;
  };
  take(s.int8);
  if (by_score) take(s.fp32);
  std::vector<Bar> bars;
  for (const LayerSensitivity& layer : order) {
    const Measurement& m = layer.measured;
    bars.push_back({layer.block ? layer.name + " (block)" : layer.name, take(m),
                    labelled ? fmt::format("{:.2f} %, {}", m.score(), decibels(m.sqnr_db)) : decibels(m.sqnr_db)});
  }
  if (low > high) low = high = 0;  // nothing has any noise
  for (Bar& bar : bars) bar.value = std::isfinite(bar.value) ? bar.value : high;
  const std::string what =
      by_score   ? fmt::format("Score ({})", title_of(s.fp32))
      : labelled ? fmt::format("Signal to noise of the outputs, as the scores ({}) are equal,", title_of(s.fp32))
                 : "Signal to noise of the outputs (there are no labels)";
  const std::string whole = labelled ? fmt::format("All INT8 {:.2f} %, FP32 {:.2f} %", s.int8.score(), s.fp32.score())
                                     : fmt::format("All INT8 {}", decibels(s.int8.sqnr_db));
  const char* which = s.mode == SensitivityMode::leave_out ? "only this layer in float" : "only this layer in INT8";
  return fmt::format(
      "<h2>Sensitivity</h2><p class=\"note\">{} with {}, the costliest first; bars from {:.2f} to {:.2f} {}. {}, {}.{}"
      "</p>{}",
      what, which, low - 0.5, high, by_score ? "%" : "dB", whole, counted(s.images, "sample"),
      s.complete ? "" : " Not finished.", bars_svg(bars, low - 0.5, high, "#1668c4"));
}

std::string noise(const Summary& s) {
  std::vector<Bar> bars;
  double highest = 1;
  for (const std::string& edge : s.edge_order) {
    const double value = s.edge_sqnr.at(edge);
    if (std::isfinite(value)) highest = std::max(highest, value);
  }
  for (const std::string& edge : s.edge_order) {
    const double value = s.edge_sqnr.at(edge);
    const bool exact = !std::isfinite(value);
    bars.push_back({edge, exact ? highest : value, decibels(value)});
  }
  return "<h2>Noise by edge</h2><p class=\"note\">Signal to quantisation noise of each edge's values, INT8 against "
         "FP32, "
         "the noise of all layers before it included.</p>" +
         bars_svg(bars, 0, highest, "#12883f");
}

std::string plan(const Summary& s) {
  std::string html =
      "<h2>Plan</h2><table><tr><th>layer</th><th>op</th><th>precision</th><th>kernel</th><th>why</th></tr>";
  for (const PlanRow& row : s.plan) {
    html += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", markup_escaped(row.name),
                        markup_escaped(row.op), markup_escaped(row.precision), markup_escaped(row.variant),
                        markup_escaped(row.why));
  }
  return html + "</table>";
}

std::string edges(const Ranges& ranges) {
  std::string html = "<h2>Edges</h2><p class=\"legend\">";
  for (const auto& [rule, colour] : kColours) {
    html += fmt::format("<span><i style=\"border-color:{}\"></i>{}</span>", colour, rule);
  }
  html += fmt::format("<span><i style=\"border-color:{}\"></i>none of these</span>", kChosen);
  html +=
      "</p><p class=\"note\">Histograms of |x| (counts on a logarithmic axis) with the amax of each rule; the "
      "chosen one is solid.</p><div class=\"edges\">";
  for (const EdgeRange& edge : ranges.edges) {
    html += fmt::format("<figure><figcaption>{}</figcaption>", markup_escaped(edge.observer));
    if (edge.histogram.counts.empty()) {
      html += "<p class=\"note\">no histogram was kept</p>";
    } else {
      html += histogram_svg(edge);
    }
    html += fmt::format("<p class=\"note\">amax {:.6g}, step {:.6g}, zero point {}{}</p></figure>", edge.amax,
                        edge.quant.step, edge.quant.zero, edge.quant.dead ? ", dead" : "");
  }
  return html + "</div>";
}

}  // namespace

double report_x(const EdgeRange& edge, double x) {
  const double upper = upper_of(edge);
  return upper > 0 ? x / upper * kPlotWidth : 0;
}

std::string report_html(const Ranges& ranges, const std::optional<Sensitivity>& sensitivity,
                        const std::optional<Summary>& summary) {
  require(!sensitivity || sensitivity->model == ranges.model, "ranges of '{}' and a sensitivity analysis of '{}'",
          ranges.model, sensitivity ? sensitivity->model : "");
  require(!summary || summary->model == ranges.model, "ranges of '{}' and a summary of '{}'", ranges.model,
          summary ? summary->model : "");
  require(!ranges.edges.empty(), "ranges without an edge: there is nothing to report");
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Octet: {0}</title><style>{1}</style>"
      "</head><body><h1>{0}</h1><p class=\"note\">method {2}, {3} activations of {4} bits{5}, weights per {6}, {7}"
      "</p>",
      markup_escaped(ranges.model), kStyle, markup_escaped(ranges.method), name_of(ranges.scheme), ranges.num_bits,
      ranges.reduce_range ? " (range reduced by one)" : "", name_of(ranges.weights),
      counted(ranges.images, "calibration sample"));
  if (ranges.seeded)
    html += "<p>The weights are seeded (random): networks are compared, nothing is right or wrong.</p>";
  if (summary) html += accuracy(*summary);
  if (sensitivity) html += ranking(*sensitivity);
  if (summary) html += noise(*summary);
  html += edges(ranges);
  if (summary) html += plan(*summary);
  return html + "</body></html>\n";
}

}  // namespace octet::calib
