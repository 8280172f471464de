#include "examples/octet/evaluate_points.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "examples/common/terminal.h"
#include "examples/octet/matches.h"
#include "examples/octet/ranks.h"
#include "models/centerpoint/scored_frame.h"
#include "models/data_files.h"
#include "models/dataset.h"
#include "runtime/error.h"

namespace octet::cli {
namespace {

namespace fs = std::filesystem;
using models::FrameMatches, models::kTpErrorNames, models::kTpErrors, models::TpErrors;

struct Frames {
  std::vector<std::pair<std::int64_t, FrameMatches>> matches;  // with the frame's index
  std::vector<double> latency_ms;
  double per_second = 0;
};

json number_or_null(double value) { return std::isnan(value) ? json() : json(value); }

// On rank 0: the frames of all ranks, in order. Ranks run side by side, so their frames a second add up.
Frames together(Frames own) {
  if (ranks().size() == 1) return own;
  json packed = json::array();
  for (const auto& [index, frame] : own.matches) packed.push_back({index, to_json(frame)});
  const json mine = {{"frames", packed}, {"latency_ms", own.latency_ms}, {"per_second", own.per_second}};
  Frames all;
  for (const std::string& text : ranks().gather(mine.dump())) {
    const json one = json::parse(text);
    for (const json& frame : one["frames"])
      all.matches.emplace_back(frame[0].get<std::int64_t>(), frame_matches_from_json(frame[1].get<std::string>()));
    const auto latency = one["latency_ms"].get<std::vector<double>>();
    all.latency_ms.insert(all.latency_ms.end(), latency.begin(), latency.end());
    all.per_second += one["per_second"].get<double>();
  }
  std::ranges::sort(all.matches, {}, [](const auto& frame) { return frame.first; });
  return all;
}

// Before long work: every frame has annotations, and they can be read.
std::vector<models::Annotations> annotations_of(const std::vector<fs::path>& files) {
  std::vector<models::Annotations> all;
  for (const fs::path& file : files) {
    const auto beside = models::annotations_beside(file);
    require(beside.has_value(), "{}: no annotations beside it (NAME.annotations.json); mAP needs them for every frame",
            file.string());
    all.push_back(models::read_annotations(*beside));
  }
  return all;
}

Frames score(const Common& common, models::Detector& detector, const PointFlags& flags,
             const std::vector<fs::path>& files) {
  const std::vector<models::Annotations> truth = annotations_of(files);
  Frames frames;
  double seconds = 0;
  examples::ProgressBar progress("frames", common.quiet);
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (!mine(static_cast<std::int64_t>(i))) continue;
    const PointCloud cloud = load_frame(common, flags, files[i]);
    const models::Detection d = detector.run(cloud.points);
    frames.matches.emplace_back(static_cast<std::int64_t>(i), score_frame(truth[i], d.boxes, detector.config()));
    frames.latency_ms.push_back(d.total_ms());
    seconds += d.total_ms() / 1000;
    progress.update(static_cast<std::int64_t>(i) + 1, static_cast<std::int64_t>(files.size()));
  }
  if (seconds > 0) frames.per_second = static_cast<double>(frames.matches.size()) / seconds;
  return frames;
}

json errors_json(const TpErrors& errors, const std::string& prefix) {
  json j = json::object();
  for (std::size_t e = 0; e < kTpErrors; ++e) j[prefix + kTpErrorNames[e]] = number_or_null(errors[e]);
  return j;
}

json per_class(const models::DetectionMetrics& m) {
  json all = json::object();
  for (const models::ClassMetrics& c : m.classes) {
    json by_distance = json::object();
    const auto& thresholds = models::nuscenes_rules().thresholds;
    for (std::size_t t = 0; t < thresholds.size(); ++t)
      by_distance[fmt::format("{:.1f}", thresholds[t])] = 100 * c.ap[t];
    all[c.name] = {{"AP", 100 * c.mean_ap()}, {"AP_by_distance", by_distance}};
    all[c.name].update(errors_json(c.errors, ""));
    all[c.name].update(json{{"annotations", c.truth}, {"boxes", c.found}, {"range", c.range}});
  }
  return all;
}

std::string metrics_table(const models::DetectionMetrics& m) {
  examples::Table table({"class", "AP %", "0.5 m", "1 m", "2 m", "4 m", "ATE m", "ASE", "AOE rad", "AVE m/s", "AAE",
                         "annotations", "boxes"});
  const auto error = [](double e) { return std::isnan(e) ? std::string("-") : fmt::format("{:.3f}", e); };
  for (const models::ClassMetrics& c : m.classes) {
    std::vector<std::string> row{c.name, fmt::format("{:.2f}", 100 * c.mean_ap())};
    for (const double ap : c.ap) row.push_back(fmt::format("{:.2f}", 100 * ap));
    for (const double e : c.errors) row.push_back(error(e));
    row.push_back(std::to_string(c.truth)), row.push_back(std::to_string(c.found));
    table.add(std::move(row));
  }
  std::vector<std::string> mean{"mean", fmt::format("{:.2f}", 100 * m.mean_ap), "", "", "", ""};
  for (const double e : m.errors) mean.push_back(error(e));
  table.add(std::move(mean));
  return table.str();
}

void print_metrics(const json& j, const models::DetectionMetrics& m, const std::string& frames) {
  fmt::print("{}\nmAP {:.2f} %, NDS {:.2f} %: {}, {}, {} of {}\n", metrics_table(m), 100 * m.mean_ap, 100 * m.nds,
             j["model"].get<std::string>(), j["precision"].get<std::string>(),
             counted(j["count"].get<std::int64_t>(), "frame"), frames);
  std::vector<std::string> missing;
  for (const models::ClassMetrics& c : m.classes) {
    if (c.truth == 0) missing.push_back(c.name);
  }
  if (!missing.empty())
    fmt::print("no annotation is scored of {}; a class without one counts as AP 0 in the means\n",
               fmt::join(missing, ", "));
}

void print_loss(const json& j) {
  if (!j.contains("loss")) return;
  for (const char* figure : {"mAP", "NDS"}) {
    const json& loss = j["loss"][figure];
    fmt::print("{} lost against {}: {:.2f} points (95 % of redrawn sets of frames: {:.2f} to {:.2f})\n", figure,
               j["loss"]["against"].get<std::string>(), loss["points"].get<double>(), loss["low"].get<double>(),
               loss["high"].get<double>());
  }
}

void print(const json& j, const models::DetectionMetrics& m, const fs::path& folder, const std::string& overlap) {
  print_metrics(j, m, folder.string());
  fmt::print("{:.1f} frames/s, median {:.1f} ms, p90 {:.1f} ms a frame, {}; {} thread(s), {} {}\n",
             j["images_per_second"].get<double>(), j["latency_ms"]["median"].get<double>(),
             j["latency_ms"]["p90"].get<double>(), examples::human_bytes(j["model_bytes"].get<std::int64_t>()),
             j["threads"].get<int>(), j["device"].get<std::string>(), j["kernel_isa"].get<std::string>());
  print_loss(j);
  if (!overlap.empty()) fmt::print("{}\n", overlap);
}

std::vector<std::string> names_of(const std::vector<fs::path>& files) {
  std::vector<std::string> names;
  for (const fs::path& file : files) names.push_back(file.filename().string());
  return names;
}

// Read before long work.
std::optional<Matches> reference_of(const EvaluatePoints& flags, const std::vector<std::string>& names) {
  if (!flags.against) return std::nullopt;
  Matches reference = load_matches(*flags.against);
  require(reference.names == names, "--against {}: it is of {}, these are {}, or others", *flags.against,
          counted(static_cast<std::int64_t>(reference.names.size()), "frame"), names.size());
  return reference;
}

// All frames of the files, by name.
Matches joined(const std::vector<std::string>& files) {
  Matches all;
  std::vector<std::pair<std::string, FrameMatches>> frames;
  for (const std::string& file : files) {
    Matches one = load_matches(file);
    if (frames.empty()) all.model = one.model, all.precision = one.precision;
    require(one.model == all.model && one.precision == all.precision, "--found {}: it is of {} in {}, {} of {} in {}",
            file, one.model, one.precision, files.front(), all.model, all.precision);
    for (std::size_t i = 0; i < one.names.size(); ++i)
      frames.emplace_back(std::move(one.names[i]), std::move(one.frames[i]));
  }
  std::ranges::sort(frames, {}, [](const auto& frame) { return frame.first; });
  for (auto& [name, frame] : frames) {
    require(all.names.empty() || all.names.back() != name, "--found: {} is in two of the files", name);
    all.names.push_back(std::move(name));
    all.frames.push_back(std::move(frame));
  }
  return all;
}

json loss_json(const Matches& reference, const Matches& own) {
  const models::Losses losses = losses_of(reference.frames, own.frames, models::nuscenes_rules());
  const auto points = [](const models::Loss& l) {
    return json{{"points", 100 * l.value}, {"low", 100 * l.low}, {"high", 100 * l.high}};
  };
  return {{"against", fmt::format("{} in {}", reference.model, reference.precision)},
          {"mAP", points(losses.mean_ap)},
          {"NDS", points(losses.nds)}};
}

}  // namespace

void add_evaluate_points_flags(CLI::App& app, EvaluatePoints& flags) {
  add_point_format_flags(app, flags.points);
  app.add_option("--save-matches", flags.save, "frames: write what was found in each, for --against");
  app.add_option(
      "--against", flags.against,
      "frames: what another precision or network found (its --save-matches); prints the loss and how sure it is");
  app.add_option("--found", flags.found,
                 "frames, instead of --data: what evaluations of parts of them saved (--save-matches); repeatable");
}

int evaluate_points(const Common& common, const models::LoadedModel& model, const fs::path& folder,
                    const EvaluatePoints& compare) {
  const PointFlags& flags = compare.points;
  require(common.device != "cuda", "{}: its CUDA kernels have not been run on a GPU yet; --device cpu runs it",
          model.name);
  const std::vector<fs::path> files =
      models::selected_files(list_point_files(folder, !flags.format.empty()), common.skip, common.limit,
                             fmt::format("frames in {}", folder.string()));
  const auto pool = make_pool(common);
  models::Detector detector(model, *pool);
  models::score_frame({}, {}, detector.config());  // classes that cannot be scored: said before long work
  const std::optional<Matches> reference = reference_of(compare, names_of(files));
  const Frames frames = together(score(common, detector, flags, files));
  if (ranks().rank() != 0) return 0;

  Matches own{.model = model.name, .precision = name_of(model.precision), .names = names_of(files)};
  for (const auto& [index, frame] : frames.matches) own.frames.push_back(frame);
  if (compare.save) save_matches(own, *compare.save);
  const models::DetectionMetrics m = metrics_of(own.frames, models::nuscenes_rules());
  const std::int64_t overlap = model.ranges ? models::calibration_overlap(*model.ranges, files) : 0;
  const auto latency = [&](double percent) { return examples::percentile(frames.latency_ms, percent); };
  json result = {{"model", model.name},
                 {"precision", name_of(model.precision)},
                 {"device", detector.program().device},
                 {"kernel_isa", detector.program().isa},
                 {"threads", pool->threads()},
                 {"count", files.size()},
                 {"mAP", 100 * m.mean_ap},
                 {"NDS", 100 * m.nds},
                 {"errors", errors_json(m.errors, "m")},
                 {"per_class", per_class(m)},
                 {"images_per_second", frames.per_second},
                 {"latency_ms", {{"median", latency(50)}, {"p90", latency(90)}}},
                 {"model_bytes", models::deployed_bytes(model)},
                 {"on_calibration_data", overlap > 0},
                 {"calibration_overlap", overlap},
                 {"seeded", model.seeded}};
  if (reference) result["loss"] = loss_json(*reference, own);
  if (common.json) {
    print_json(result);
  } else {
    print(result, m, folder, overlap_note(overlap, static_cast<std::int64_t>(files.size()), "frame"));
  }
  return 0;
}

int evaluate_found(const Common& common, const EvaluatePoints& flags) {
  const Matches own = joined(flags.found);
  require(own.model == common.model, "--found {}: it is of {}, not of {}", flags.found.front(), own.model,
          common.model);
  const std::optional<Matches> reference = reference_of(flags, own.names);
  if (flags.save) save_matches(own, *flags.save);
  const models::DetectionMetrics m = metrics_of(own.frames, models::nuscenes_rules());
  json result = {{"model", own.model},       {"precision", own.precision}, {"count", own.names.size()},
                 {"mAP", 100 * m.mean_ap},   {"NDS", 100 * m.nds},         {"errors", errors_json(m.errors, "m")},
                 {"per_class", per_class(m)}};
  if (reference) result["loss"] = loss_json(*reference, own);
  if (common.json) {
    print_json(result);
    return 0;
  }
  print_metrics(result, m, counted(static_cast<std::int64_t>(flags.found.size()), "file"));
  print_loss(result);
  return 0;
}

}  // namespace octet::cli
