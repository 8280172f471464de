#include "examples/octet/analysis.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "examples/common/terminal.h"
#include "runtime/custom_op.h"
#include "runtime/error.h"
#include "runtime/hash.h"

namespace octet::cli {

std::unique_ptr<models::Dataset> open_scored(const models::LoadedModel& model, const std::filesystem::path& folder,
                                             const std::optional<std::string>& labels, std::int64_t skip,
                                             std::int64_t limit) {
  models::PhotoSetOptions set{.skip = skip, .limit = limit};
  if (labels) set.labels = *labels;
  return models::open_dataset(model, folder, set);
}

std::unique_ptr<models::Scorer> make_scorer(const Common& common, const models::LoadedModel& model,
                                            const models::Dataset& data, ThreadPool& pool) {
  if (const std::int64_t labelled = data.labelled(); labelled > 0 && labelled < data.count()) {
    note(common, fmt::format("{} of {} have labels or annotations; a score needs all of them, so networks are compared "
                             "with the float one instead",
                             labelled, counted(data.count(), data.noun())));
  }
  examples::ProgressBar progress(fmt::format("{}s", data.noun()), common.quiet);
  return data.scorer(*model.graph, pool, common.batch_size,
                     [&](std::int64_t done, std::int64_t total) { progress.update(done, total); });
}

namespace {

// What a node does to its inputs, its parameters' values aside.
std::string options_of(const Node& node) {
  const Window& w = node.window;
  const SparseWindow& s = node.sparse;
  std::string text = fmt::format("{} {} {} {} {} {} {} {} {:a} {:a} {:a}", node.name, name_of(node.op),
                                 fmt::join(node.inputs, ","), node.output, node.inverse_of, node.groups, node.ceil_mode,
                                 node.count_include_pad, node.eps, node.alpha, node.beta);
  text += fmt::format(" {} {} {} {} {} {} {} {} {} {}", w.kernel_h, w.kernel_w, w.stride_h, w.stride_w, w.pad_top,
                      w.pad_left, w.pad_bottom, w.pad_right, w.dilation_h, w.dilation_w);
  text += fmt::format(" {} {} {} {} {} {}", fmt::join(s.kernel, ","), fmt::join(s.stride, ","),
                      fmt::join(s.padding, ","), fmt::join(s.dilation, ","), s.submanifold, s.inverse);
  if (node.quant)
    text += fmt::format(" {:a} {} {} {}", node.quant->step, node.quant->zero, node.quant->lo, node.quant->hi);
  if (node.custom) text += " " + node.custom->name();
  return text + "\n";
}

}  // namespace

std::string model_hash(const models::LoadedModel& model) {
  const Graph& graph = *model.graph;
  Fnv1a hash;
  hash.add(model.points ? models::to_json(*model.points) : models::to_json(model.preprocess));
  hash.add(fmt::format("\n{} {}\n", graph.name(), graph.output_edge()));
  for (const Edge& edge : graph.edges())
    hash.add(fmt::format("{} {} {}\n", edge.name, edge.shape.str(), edge.observer));
  for (const Node& node : graph.nodes()) {
    hash.add(options_of(node));
    for (const Parameter& p : node.parameters) {
      hash.add(fmt::format("{} {}\n", p.key, p.shape.str()));
      hash.add(std::string_view(reinterpret_cast<const char*>(p.value.raw()), p.value.bytes()));
    }
  }
  return hex(hash.value());
}

std::string data_hash(const models::Dataset& data) {
  Fnv1a hash;
  for (const std::filesystem::path& file : data.files()) hash.add(models::marks_of({file}) + "\n");
  hash.add(data.truth_hash());
  return hex(hash.value());
}

calib::Sensitivity analyse_resumably(const Common& common, const models::LoadedModel& model,
                                     const calib::Ranges& ranges, models::Scorer& scorer, calib::SensitivityMode mode,
                                     bool blocks, const models::Dataset& dataset, const std::filesystem::path& out) {
  Fnv1a hash;
  const Graph& graph = *model.graph;
  hash.add(model_hash(model)), hash.add(data_hash(dataset)), hash.add(calib::to_json(ranges)),
      hash.add(blocks ? "blocks" : "leaves");
  const std::string data = hex(hash.value());
  calib::SensitivityOptions options{.mode = mode, .blocks = blocks};
  std::error_code error;
  if (std::filesystem::exists(out, error)) {
    calib::Sensitivity before = calib::load_sensitivity(out);
    const bool same = before.model == graph.name() && before.data == data && before.mode == mode;
    if (same) options.resume = std::move(before);
    if (same) note(common, fmt::format("{}: going on behind {} layers", out.string(), options.resume->layers.size()));
  }
  examples::ProgressBar progress("layers", common.quiet);
  const auto stamped = [&](calib::Sensitivity s) {
    s.data = data, s.images = dataset.count();
    return s;
  };
  const auto measure = [&](const QGraph& network) { return scorer.measure(network); };
  calib::Sensitivity result =
      stamped(calib::analyse(graph, ranges, measure, options, [&](const calib::Sensitivity& so_far, std::size_t total) {
        calib::save_sensitivity(stamped(so_far), out);
        progress.update(static_cast<std::int64_t>(so_far.layers.size()), static_cast<std::int64_t>(total));
      }));
  return result;
}

std::string sensitivity_table(const calib::Sensitivity& s, int top) {
  const auto decibels = [](double value) { return std::isfinite(value) ? fmt::format("{:.2f}", value) : "exact"; };
  examples::Table table({"", "layer",
                         s.fp32.mean_ap ? "mAP %"
                         : s.fp32.top1  ? "top-1 %"
                                        : "same class %",
                         "SQNR dB", "cosine"});
  const auto add = [&](const std::string& rank, const std::string& name, const calib::Measurement& m) {
    table.add({rank, name, fmt::format("{:.2f}", m.score()), decibels(m.sqnr_db), fmt::format("{:.6f}", m.cosine)});
  };
  const std::vector<calib::LayerSensitivity> order = s.ranked();
  for (std::size_t i = 0; i < order.size() && i < static_cast<std::size_t>(top); ++i) {
    add(fmt::format("Top{}", i), order[i].block ? order[i].name + " (block)" : order[i].name, order[i].measured);
  }
  add("", "all INT8", s.int8);
  add("", "all float", s.fp32);
  const char* what = s.mode == calib::SensitivityMode::leave_out ? "in float, the others INT8" : "alone INT8";
  return fmt::format("The costliest of {} layers and blocks{}, each {}:\n\n{}", s.layers.size(),
                     s.fp32.labelled() ? "" : " by SQNR (no labels)", what, table.str());
}

}  // namespace octet::cli
