// octet ptq: from float weights and photos to ranges.json, sensitivity.json, summary.json and report.html. Each file is
// written whole; interrupted and started again with the same arguments, it goes on behind what is complete.
#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <cmath>

#include "calib/quantise.h"
#include "calib/report.h"
#include "calib/switches.h"
#include "examples/common/terminal.h"
#include "examples/octet/analysis.h"
#include "examples/octet/calibration.h"
#include "runtime/error.h"
#include "runtime/hash.h"
#include "runtime/io/file.h"
#include "runtime/onnx/export.h"

namespace octet::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  Common common;
  CalibrationFlags flags;
  std::string data, out;
  std::optional<std::string> eval_data, labels, onnx, calib_method, hist_method;
  std::int64_t eval_skip = 0, eval_limit = -1;
  std::optional<double> auto_ignore;
  bool sensitivity = true, score_both = true;
};

// What --method, --calib-method and --hist-method come to; unset: the preset's. Throws Error where they contradict.
std::optional<std::string> method_of(const Options& o) {
  const std::optional<std::string>& method = o.flags.method;
  const auto is = [](const std::optional<std::string>& flag, const char* value) { return flag && *flag == value; };
  const auto agree = [](bool agrees, const char* flag, const std::string& value, const char* other,
                        const std::optional<std::string>& others) {
    require(agrees, "{} {} contradicts {} {}", flag, value, other, others.value_or(""));
  };
  if (o.hist_method) {
    agree(!is(o.calib_method, "max"), "--hist-method", *o.hist_method, "--calib-method", o.calib_method);
    agree(!method || method == o.hist_method, "--hist-method", *o.hist_method, "--method", method);
    return o.hist_method;
  }
  if (is(o.calib_method, "max")) {
    agree(!method || is(method, "max"), "--calib-method", "max", "--method", method);
    return "max";
  }
  if (is(o.calib_method, "histogram")) {
    agree(!is(method, "max") && !is(method, "moving_average"), "--calib-method", "histogram", "--method", method);
    if (!method && o.flags.preset != "x86") return "mse";  // x86's own method reads histograms
  }
  return method || o.flags.preset != "none" ? method : "mse";
}

class Ptq {
 public:
  explicit Ptq(const Options& o);
  int run();

 private:
  calib::Ranges calibrate();
  calib::Sensitivity analyse(const calib::Ranges& ranges);
  models::LoadedModel load_quantised() const;  // as ranges.json says
  calib::Summary evaluate(const calib::Ranges& ranges);
  void print(const calib::Summary& summary) const;
  void start_anew_unless(const std::string& fingerprint);
  std::string fingerprint() const;
  void stage(const std::string& text) const {
    if (!o_.common.json && !o_.common.quiet) fmt::print("{}\n", text), std::fflush(stdout);
  }
  fs::path file(const char* name) const { return fs::path(o_.out) / name; }
  template <class Work>
  auto timed(const char* name, const Work& work) {
    const auto start = std::chrono::steady_clock::now();
    auto result = work();
    seconds_[name] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return result;
  }

  Options o_;
  models::LoadedModel model_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<models::Dataset> calibration_, choosing_, scored_;  // choosing_: null when scored_ ranks the layers
  std::unique_ptr<models::Scorer> scorer_;
  std::vector<std::string> costly_;  // what --auto-ignore leaves in float
  std::map<std::string, double> seconds_;
};

Ptq::Ptq(const Options& o) : o_(o) {
  o_.flags.method = method_of(o_);
  require(!o_.auto_ignore || *o_.auto_ignore > 0,
          "--auto-ignore 0: more than 0 points were expected; not even the float network loses less than none");
  stage("Prepare Model");
  model_ = load_float(o_.common);
  require_weights(o_.common, model_, "quantising");
  require(o_.sensitivity || !o_.auto_ignore, "--auto-ignore needs the sensitivity analysis");
  if (o_.onnx) {
    const fs::path folder = fs::absolute(*o_.onnx).parent_path();
    require(o_.onnx->ends_with(".onnx"), "--onnx {}: a name that ends in .onnx was expected", *o_.onnx);
    require(fs::is_directory(folder), "--onnx {}: there is no folder {}", *o_.onnx, folder.string());
  }
  pool_ = make_pool(o_.common);

  stage("Prepare Dataset");
  const auto folder = models::part_of(o_.data, models::Part::calibration);
  calibration_ = open_scored(model_, folder, {}, o_.common.skip, o_.common.limit);
  const auto eval =
      o_.eval_data ? models::part_of(*o_.eval_data, models::Part::test) : models::part_of(o_.data, models::Part::test);
  scored_ = open_scored(model_, eval, o_.labels, o_.eval_skip, o_.eval_limit);
  if (!o_.auto_ignore) return;
  // Samples that choose layers do not score the choice: every second one does either.
  const auto count = static_cast<std::size_t>(scored_->count());
  require(count >= 2, "--auto-ignore needs two {}s at least: some choose, the others score", scored_->noun());
  std::vector<std::size_t> halves[2];
  for (std::size_t i = 0; i < count; ++i) halves[i % 2].push_back(i);
  choosing_ = scored_->subset(halves[0]);
  scored_ = scored_->subset(halves[1]);
}

// Of everything that decides about the results.
std::string Ptq::fingerprint() const {
  Fnv1a hash;
  const CalibrationFlags& f = o_.flags;
  hash.add(fmt::format("2 {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}", model_.name,
                       f.method.value_or(""), f.weights.value_or(""), f.scheme.value_or(""), f.preset, f.add_observer,
                       f.percentile, f.bins, f.start_bin, f.stride, f.num_bits, f.batches, f.reduce_range,
                       f.share_add_range, f.after_pool, f.fold_after, fmt::join(f.only, "\n"),
                       fmt::join(f.ignore, "\n"), o_.common.batch_size, o_.sensitivity));
  hash.add(fmt::format("{} {} {}", o_.auto_ignore.value_or(-1), f.equalize, f.bias_correct));
  for (const auto* data : {&calibration_, &scored_, &choosing_}) {
    if (*data) hash.add(data_hash(**data) + "\n");
  }
  hash.add(model_hash(model_));
  return hex(hash.value());
}

// The folder is of another run: its files go before its fingerprint does.
void Ptq::start_anew_unless(const std::string& fingerprint) {
  require(!fs::exists(o_.out) || fs::is_directory(o_.out), "--out {}: a folder was expected, this is a file", o_.out);
  fs::create_directories(o_.out);
  const fs::path state = file("state.txt");
  std::error_code error;
  if (fs::exists(state, error) && read_text_file(state, 4096) == fingerprint + "\n") return;
  for (const char* name : {"calibration.json", "ranges.json", "sensitivity.json", "summary.json", "report.html"}) {
    fs::remove(file(name), error);
  }
  write_file_atomically(state, std::string_view(fingerprint + "\n"));
}

calib::Ranges Ptq::calibrate() {
  if (fs::exists(file("calibration.json"))) return calib::load_ranges(file("calibration.json"));
  stage("Beginning Calibration");
  calib::CalibrationOptions options = calibration_options(o_.flags, o_.common, *calibration_);
  options.histograms = options.preset != calib::Preset::notebook;
  calib::Calibrator calibrator(*model_.graph, options, *pool_);
  stream(o_.flags, o_.common, *calibration_, calibrator);
  calib::Ranges ranges = finish_ranges(o_.flags, *calibration_, calibrator);
  ranges.seeded = model_.seeded;
  calib::quantise(*model_.graph, ranges);  // an --ignore that matches nothing fails before anything is written
  note_dead_edges(o_.common, ranges);
  calib::save_ranges(ranges, file("calibration.json"));
  return ranges;
}

calib::Sensitivity Ptq::analyse(const calib::Ranges& ranges) {
  stage("Beginning Sensitive Analysis");
  std::unique_ptr<models::Scorer> other;
  if (choosing_) other = make_scorer(o_.common, model_, *choosing_, *pool_);
  models::Scorer& scorer = choosing_ ? *other : *scorer_;
  calib::Sensitivity s = analyse_resumably(o_.common, model_, ranges, scorer, calib::SensitivityMode::leave_out, true,
                                           choosing_ ? *choosing_ : *scored_, file("sensitivity.json"));
  if (!o_.common.json && !o_.common.quiet) fmt::print("{}\n", sensitivity_table(s, 10));
  if (!choosing_) return s;
  const auto measure = [&](const QGraph& network) { return scorer.measure(network); };
  const calib::AutoIgnore chosen = calib::choose_ignored(*model_.graph, ranges, s, measure, *o_.auto_ignore);
  for (const std::string& layer : chosen.layers) stage(fmt::format("Quantization : {} has ignored.", layer));
  costly_ = chosen.layers;
  return s;
}

models::LoadedModel Ptq::load_quantised() const {
  Common common = o_.common;
  common.ranges = file("ranges.json").string(), common.precision = "int8", common.quiet = true;
  return load(common);
}

calib::Summary Ptq::evaluate(const calib::Ranges& ranges) {
  stage("Evaluate PTQ");
  const models::LoadedModel integer = load_quantised();
  calib::Summary s;
  s.model = ranges.model, s.method = ranges.method;
  s.count = scored_->count();
  s.calibration_overlap = models::calibration_overlap(ranges, scored_->files());
  s.ptq = scorer_->measure(integer.network);
  s.auto_ignore = o_.auto_ignore;
  s.fp32_bytes = models::deployed_bytes(model_), s.int8_bytes = models::deployed_bytes(integer);
  for (const models::EdgeNoise& edge : scorer_->edge_noise(*model_.graph, ranges)) {
    s.edge_order.push_back(edge.observer);
    s.edge_sqnr[edge.observer] = edge.sqnr_db;
  }
  const auto program = kernels::plan(integer.network, scored_->plan_options());
  for (const Step& step : program->steps) {
    const auto node = std::ranges::find(integer.network.nodes, step.name, &QNode::name);
    s.plan.push_back({step.name, name_of(step.op), name_of(step.precision), step.variant,
                      node == integer.network.nodes.end() ? "" : node->why});
  }
  for (const QNode& node : integer.network.nodes) {
    if (node.why.starts_with("--ignore") || node.why.starts_with("not named")) s.float_layers.push_back(node.name);
  }
  return s;
}

void Ptq::print(const calib::Summary& s) const {
  const bool nds = s.origin.nds && s.ptq.nds;
  std::vector<std::string> header{"", s.origin.mean_ap ? "mAP %" : s.origin.top1 ? "top-1 %" : "same class %", "size"};
  if (nds) header.insert(header.begin() + 2, "NDS %");
  examples::Table table(header);
  const auto row = [&](const char* name, const calib::Measurement& m, std::int64_t bytes) {
    std::vector<std::string> cells{name, fmt::format("{:.2f}", m.score()), examples::human_bytes(bytes)};
    if (nds) cells.insert(cells.begin() + 2, fmt::format("{:.2f}", *m.nds));
    table.add(std::move(cells));
  };
  row("Origin", s.origin, s.fp32_bytes), row("PTQ", s.ptq, s.int8_bytes);
  fmt::print("\n{}\n{}; method {}; drop {:.2f} points; outputs {}\n", table.str(), counted(s.count, scored_->noun()),
             s.method, s.drop(),
             std::isfinite(s.ptq.sqnr_db) ? fmt::format("{:.1f} dB over their noise", s.ptq.sqnr_db) : "equal");
  constexpr std::size_t kNamed = 12;
  const std::size_t named = std::min(kNamed, s.float_layers.size()), others = s.float_layers.size() - named;
  if (named > 0) {
    fmt::print("in float: {}{}\n",
               fmt::join(s.float_layers.begin(), s.float_layers.begin() + static_cast<std::ptrdiff_t>(named), ", "),
               others == 0 ? "" : fmt::format(" and {} more (summary.json lists them)", others));
  }
  if (s.auto_ignore) {
    fmt::print("--auto-ignore {}: the loss on these {}s, which did not choose, is {:.2f} points: {}\n", *s.auto_ignore,
               scored_->noun(), s.drop(), s.within_auto_ignore() ? "below that" : "NOT below that");
  }
  const std::string overlap = overlap_note(s.calibration_overlap, s.count, scored_->noun());
  if (!overlap.empty()) fmt::print("{}\n", overlap);
  fmt::print("PTQ Quantization Has Finished: {}/ranges.json, {}summary.json, report.html\n", o_.out,
             !o_.sensitivity ? "" : "sensitivity.json, ");
}

int Ptq::run() {
  start_anew_unless(fingerprint());
  const bool complete = fs::exists(file("summary.json")) && fs::exists(file("ranges.json")) &&
                        (!o_.sensitivity || fs::exists(file("sensitivity.json")));
  if (!complete) {
    calib::Ranges ranges = timed("calibrate", [&] { return calibrate(); });
    stage("Evaluate Origin");
    const calib::Measurement origin = timed("origin", [&] {
      scorer_ = make_scorer(o_.common, model_, *scored_, *pool_);
      return scorer_->measure(calib::as_float(*model_.graph));
    });
    if (o_.sensitivity) timed("sensitivity", [&] { return analyse(ranges); });
    for (const std::string& layer : costly_) ranges.ignore.push_back(calib::exactly(layer));
    stage("Beginning PTQ");
    calib::save_ranges(ranges, file("ranges.json"));
    calib::Summary summary = timed("ptq", [&] { return evaluate(ranges); });
    summary.origin = origin;
    summary.seconds = seconds_;
    calib::save_summary(summary, file("summary.json"));
  }
  const calib::Summary summary = calib::load_summary(file("summary.json"));
  std::optional<calib::Sensitivity> sensitivity;
  if (o_.sensitivity) sensitivity = calib::load_sensitivity(file("sensitivity.json"));
  const std::string html = calib::report_html(calib::load_ranges(file("ranges.json")), sensitivity, summary);
  write_file_atomically(file("report.html"), std::string_view(html));
  if (o_.onnx) onnx::write_model(onnx::export_model(load_quantised().network, {}), *o_.onnx);
  if (o_.common.json) {
    print_json(json::parse(calib::to_json(summary)));
  } else {
    print(summary);
  }
  return 0;
}

}  // namespace

Command add_ptq(CLI::App& app) {
  CLI::App* command = app.add_subcommand("ptq", "calibrate, analyse, quantise, score and report in one go");
  auto o = std::make_shared<Options>();
  add_common(*command, o->common);
  add_image_flags(*command, o->common);
  command->get_option("MODEL")->description("a model's name (octet models) or an .onnx file");
  command
      ->add_option("--data", o->data,
                   "photos or frames that calibrate (sub-folder calibration or train, if there is one)")
      ->required();
  command->add_option("--eval-data", o->eval_data, "those that score (default: the sub-folder test or val of --data)");
  command->add_option("--eval-skip", o->eval_skip, "leave out the first N of those")->check(at_least(0));
  command->add_option("--eval-limit", o->eval_limit, "score at most N")->check(at_least(1));
  command->add_option("--labels", o->labels, "CSV: file, class index");
  command->add_option("--out", o->out, "folder for the results; an interrupted run goes on there")->required();
  command->add_flag("--sensitivity,!--no-sensitivity", o->sensitivity, "rank the layers (on by default)");
  command->add_flag("--eval-origin,--eval-ptq", o->score_both,
                    "both networks are always scored; accepted for older scripts");
  command
      ->add_option("--auto-ignore", o->auto_ignore,
                   "leave the fewest layers in float that bring the loss under so many points")
      ->check(CLI::Range(0.0, 100.0));
  command
      ->add_option("--calib-method", o->calib_method,
                   "max, or histogram: mse unless --hist-method or --method says otherwise")
      ->check(CLI::IsMember({"max", "histogram"}));
  command->add_option("--hist-method", o->hist_method, "alias of --method")
      ->check(CLI::IsMember({"entropy", "mse", "percentile"}));
  command->add_option("--onnx", o->onnx, "write the QDQ model too");
  add_calibration_flags(*command, o->flags);
  command->get_option("--method")
      ->description("how a range follows from what was seen (default: mse, or the preset's)");
  return {command, [o] { return Ptq(*o).run(); }};
}

}  // namespace octet::cli
